package revokers

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/regex"
)

// MarkerSource is the source of a refusal that the operator's dead_marker
// documents.
const MarkerSource = "dead_marker in the policy"

// Evidence is all that Judge may look at.
type Evidence struct {
	Answer Answer
	// Never are the answers to two credentials that were never issued. An
	// answer without an endpoint was not asked for.
	Never [2]Answer
	// Control is the answer to the operator's own credential, asked right after
	// Answer; nil if none is configured or known.
	Control *Answer
	// Learned is the digest of the refusal that both never-issued credentials
	// got while this credential or the control was Live at the endpoint.
	Learned string
	// Sent is the issuer's response to the revocation, if one was sent by the
	// apply that is looking.
	Sent *Acknowledgement
	// Before is the last answer before that revocation.
	Before *Answer
}

// Judge turns the evidence about one endpoint into a verdict. Dead requires the
// issuer's refusal, the right issuer, and a live control if there is one.
func Judge(t Target, e Evidence) Verdict {
	a := e.Answer
	v := Verdict{
		Host: t.Host(), Instance: t.URL(), Endpoint: a.Endpoint, Identity: a.Identity, Expires: a.Expires,
		Detail: a.Detail, At: a.At, Learned: e.Learned, NegativeControl: refusedNever(e),
	}
	if e.Control != nil {
		v.Control = controlLiveness(*e.Control)
	}
	switch {
	case a.Class == Accepts:
		return accepted(t, e, v)
	case a.Class == Refuses && neverRefusal(a.Status):
		v.Reason = Unreachable
		if a.Status == http.StatusTooManyRequests {
			v.Reason = Throttled
		}
	case a.Class == Refuses:
		return refused(t, e, v)
	case a.Class == Silent:
		v.Reason = orReason(a.Reason, Unreachable)
	default:
		v.Reason = orReason(a.Reason, Unexpected)
	}
	v.Remedy = remedyFor(v.Reason, t)
	return v
}

// neverRefusal reports whether a status is about the issuer and not about the
// credential, for any body.
func neverRefusal(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

func orReason(r, otherwise Reason) Reason {
	if r == "" {
		return otherwise
	}
	return r
}

func controlLiveness(a Answer) string {
	switch a.Class {
	case Accepts:
		return Live.String()
	case Refuses:
		return Dead.String()
	}
	return Unknown.String()
}

func refusedNever(e Evidence) bool {
	return e.Never[0].Endpoint != "" && e.Never[0].Class == Refuses || e.Never[1].Endpoint != "" && e.Never[1].Class == Refuses
}

func accepted(t Target, e Evidence, v Verdict) Verdict {
	for _, n := range e.Never {
		if n.Endpoint != "" && n.Class == Accepts {
			v.Reason = AcceptsAll
			v.Detail = "the endpoint also accepts a " + string(t.Kind) + " that was never issued"
			v.Remedy = remedyFor(AcceptsAll, t)
			return v
		}
	}
	v.Liveness, v.Reason = Live, orReason(e.Answer.Reason, Authenticated)
	if !v.NegativeControl {
		v.Remedy = "quell plan again: the endpoint has not answered about a never-issued credential, so nothing is killed yet"
	}
	return v
}

// refused decides whether a refusal proves death.
func refused(t Target, e Evidence, v Verdict) Verdict {
	a := e.Answer
	unknown := func(r Reason, detail, remedy string) Verdict {
		v.Reason, v.Detail, v.Remedy = r, detail, remedy
		return v
	}
	said := a.Detail
	if said == "" {
		said = fmt.Sprintf("the issuer answered %d", a.Status)
	}
	if what, name, contradicted := t.Contradicted(); contradicted && t.Seen == nil {
		return unknown(OtherIssuer, fmt.Sprintf("%s; the text places it at the %s %s", said, what, name), elsewhereRemedy(t, what, name))
	}
	if e.Control != nil && e.Control.Class != Accepts {
		return unknown(ControlFailed, said+"; the control did not get through either", "control of "+entry(t)+", naming a credential of your own that is live")
	}
	if t.Seen != nil && t.Seen.Endpoint != "" && t.Seen.Endpoint != a.Endpoint {
		return unknown(Refused, said+fmt.Sprintf("; but %s answered live, and only the endpoint that answered live can prove it dead", t.Seen.Endpoint), "probe_path, client_id, admin or user of "+entry(t)+", as it was when "+t.Seen.Endpoint+" was asked")
	}
	if pair := t.Pair(); pair != "" && t.Seen == nil && a.Documented == "" {
		return unknown(Refused, said+fmt.Sprintf("; it is sent with the cookie %s, and the one near it in the text may belong to another session", pair), markerRemedy(t))
	}
	if len(t.Parts) > 0 && t.Seen == nil && a.Documented == "" {
		// The issuer also refuses a key that belongs to another id. Only a documented word has a known meaning.
		return unknown(Refused, said+"; its parts were joined by their positions in the text and may not belong together", markerRemedy(t))
	}
	if t.Seen == nil && piece(t) {
		return unknown(Refused, said+"; its name is that of one piece of a cookie that is sent in several pieces, and an issuer refuses one piece alone", wholeRemedy(t.Rule.ID))
	}
	if t.Apart && t.Seen == nil && a.Documented == "" {
		return unknown(Refused, said+"; it was joined from cookies that are not next to each other in the text and may belong to different sessions", markerRemedy(t))
	}
	right := t.Seen != nil || t.Named || t.Instance.Sole || t.Rule.OneIssuer()
	proven, lacks := proof(t, e)
	if proven && right {
		v.Liveness, v.Reason, v.Documented, v.Remedy = Dead, orReason(a.Reason, Revoked), a.Documented, ""
		v.Detail = said
		return v
	}
	if !right {
		lacks = append([]string{soleRemedy(t)}, lacks...)
	}
	return unknown(Refused, said+", which does not prove that it is dead", strings.Join(lacks, ", and "))
}

// pieceRE is how frameworks name the pieces of a cookie that is longer than 4 KiB: .0 (Auth.js,
// Supabase), C1 (ASP.NET Core), _0 (oauth2-proxy), -0 (an Amazon load balancer).
var pieceRE = regex.Lazy(`^.+(?:\.|_|-|C)([0-9])$`)

// fullPiece is the length, in bytes, from which the first piece may have another after it: the
// shortest limit of a framework is 3180 (Supabase), less what percent-encoding adds.
const fullPiece = 2048

// piece reports whether t can be one piece of a cookie. A name that the operator gives an instance
// is that of a whole one, and the only piece of a short cookie is whole.
func piece(t Target) bool {
	if t.Cookie == "" || t.Instance.Cookie == t.Cookie {
		return false
	}
	m := pieceRE().FindStringSubmatch(t.Cookie)
	return m != nil && (m[1] != "0" || t.Secret.Len() >= fullPiece)
}

// bound returns what is missing where a refusal can mean that a live token is
// bound to a key and was presented as a bearer token, which gets the words of a
// bad token (RFC 9449, 7.1 and 7.2); nil if it can't. A live control that is a
// bearer token does not exclude that.
//
// Where DPoP is offered next to another scheme, a learned refusal counts only for
// a credential that was Live here, so that it is accepted as a bearer token. Where
// DPoP is the only scheme, what the issuer documents of bearer tokens does not
// apply: the refusal must be the one that was learned while this credential was
// Live, with a live control or after an accepted revocation, because an issuer can
// also have ceased to take bearer tokens. The operator's dead_marker is a statement
// about this endpoint's text, that only what has ended gets it, and counts as
// everywhere.
func bound(t Target, e Evidence, known bool) (lacks []string) {
	a := e.Answer
	schemes := strings.Split(a.Challenge, ",")
	switch {
	case !slices.Contains(schemes, "dpop") || a.Documented == MarkerSource:
		return nil
	case len(schemes) > 1 && (t.Seen != nil || a.Documented != ""):
		return nil
	case len(schemes) > 1 || t.Seen == nil || e.Learned == "" || a.Shape != e.Learned || a.Shape != t.Seen.Learned:
		return []string{markerRemedy(t)}
	case !known:
		return []string{controlRemedy(t)}
	}
	return nil
}

// proof reports whether the refusal is documented or learned. If it is neither, lacks has
// the remedies: the settings with which a later refusal would be.
func proof(t Target, e Evidence) (ok bool, lacks []string) {
	a := e.Answer
	live := e.Control != nil && e.Control.Class == Accepts
	seen := t.Seen != nil
	// Without a control, the credential must have been Live until a revocation
	// that its issuer accepted.
	accepted := seen && e.Before != nil && e.Before.Class == Accepts && e.Sent != nil && e.Sent.Accepted
	learned := e.Learned != "" && a.Shape == e.Learned
	has := func(scheme string) bool { return strings.Contains(","+a.Challenge+",", ","+scheme+",") }
	if has("negotiate") || has("ntlm") || has("kerberos") {
		return false, []string{gatewayRemedy(t)}
	}
	// A gateway in front of the issuer asks for a password too, so a control is
	// not enough: the refusal must be the one that was learned while this
	// credential was Live.
	if (has("basic") || has("digest")) && !a.SentBasic && !(learned && seen && a.Shape == t.Seen.Learned) {
		return false, []string{gatewayRemedy(t)}
	}
	if lacks := bound(t, e, live || accepted); lacks != nil {
		return false, lacks
	}
	if a.Documented != "" {
		switch a.Also {
		case "":
			return true, nil
		case AlsoAsker:
			if live || accepted {
				return true, nil
			}
			return false, []string{controlRemedy(t)}
		case AlsoCredential:
			if seen && (live || accepted) {
				return true, nil
			}
			if a.Remedy != "" {
				return false, []string{a.Remedy}
			}
			if seen {
				return false, []string{controlRemedy(t)}
			}
			return false, []string{markerRemedy(t)}
		}
	}
	switch {
	case accepted && learned, live && seen && learned:
		return true, nil
	case live && learned && a.Status == http.StatusUnauthorized:
		return true, nil
	case live:
		return false, []string{markerRemedy(t)}
	case a.Status == http.StatusUnauthorized || seen:
		return false, []string{controlRemedy(t)}
	case t.Kind == credential.KindSessionCookie && (a.Status == http.StatusNotFound || a.Status == http.StatusGone):
		return false, []string{pageRemedy(t, a.Status)}
	}
	return false, []string{markerRemedy(t)}
}
