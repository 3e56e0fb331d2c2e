package run

import (
	"fmt"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// withNext completes the action's Remedy: every outcome but Confirmed has one next step.
// It follows from the issuer's answer to the revocation, or else from the outcome alone.
func withNext(a report.Action) report.Action {
	if a.Outcome == "" || a.Outcome == prove.Confirmed {
		return a
	}
	if r := a.Receipt; r != nil && !r.Accepted && a.Outcome != prove.AlreadyDead && a.Outcome != prove.UntilExpiry {
		if s := afterRefusal(a, r.Status); s != "" {
			a.Remedy = s
			return a
		}
	}
	if a.Remedy != "" {
		return a
	}
	switch a.Outcome {
	case prove.AlreadyDead:
		a.Remedy = "nothing has to be ended; quell ledger " + short(a.Fingerprint) + " shows where it leaked"
	case prove.StillAlive:
		a.Remedy = "end it at the issuer by hand, then quell recheck"
	case prove.UntilExpiry:
		a.Remedy = "roll the key that signs it, which ends everyone's; or wait"
	case prove.Held:
		a.Remedy = "a new plan of the report; quell ledger " + short(a.Fingerprint) + " has what was decided before"
	default:
		a.Remedy = "quell recheck"
	}
	return a
}

// afterRefusal is what to do once the issuer refused a revocation with a status;
// 0: it gave no answer. Empty if the status does not determine it.
func afterRefusal(a report.Action, status int) string {
	instance := fmt.Sprintf("[[instance]] provider = %q, url = %q", a.Provider, a.Instance)
	admin := a.Tier != rules.TierSelf && a.Tier != ""
	switch {
	case strings.Contains(a.Method, "logout") && status >= 400 && status < 500 && status != 429:
		return fmt.Sprintf("check logout_path, logout_method and csrf of %s: the logout answered %d; then a new plan and apply", instance, status)
	case status == 401 && admin:
		return "renew the admin or client credential of " + instance + ", which the issuer refused (401), then apply the plan again"
	case status == 401:
		return "quell recheck: the issuer refused the revocation as one of a credential that it does not know (401)"
	case status == 403 && admin:
		return "give the admin or client credential of " + instance + " the right to revoke (the issuer answered 403; quell providers " + a.Provider + " has the document), then apply the plan again"
	case status == 403:
		return "end it at the issuer by hand: the credential lacks the right to end itself (403), then quell recheck"
	case status == 404 || status == 405 || status == 410:
		return fmt.Sprintf("check url of %s: the revocation's address is not there (%d), or the server is too old for it; quell rules explain %s has its document", instance, status, a.Rule)
	case status == 429:
		return "apply the plan again once the issuer's limit has passed (429); it sends nothing twice"
	case status == 0 || status >= 500:
		return "apply the plan again when the issuer answers; it sends nothing twice"
	}
	return ""
}

// short is enough of a fingerprint for quell ledger to find the incident.
func short(fingerprint string) string { return fingerprint[:min(8, len(fingerprint))] }
