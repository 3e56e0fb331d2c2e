package action

import (
	"fmt"
	"slices"
	"strings"
)

// Inputs are those of action.yml, as the runner passes them: INPUT_NAME, in capitals.
type Inputs struct {
	Scan       []string // of git, logs, image, path; empty: by the event
	Images     []string
	Paths      []string
	Range      string
	Repository string // folder of the checkout, below the workspace

	FailOn     string // empty: by the event
	Confidence string
	Verify     string // auto, on, off
	// NoSelfHosted are providers of which the operator has no server.
	NoSelfHosted []string
	Kill         string // off, plan, apply
	DeleteLog    bool

	Policy, Allow  string // files of the default branch and of the base
	Rules          []string
	Ledger         string
	FingerprintKey string
	Recipients     []string

	Sarif       string
	UploadSarif bool
	Comment     bool
	Annotations bool
	Summary     bool
	Token       string
}

// Sources are what the input scan may name.
var Sources = []string{"git", "logs", "image", "path"}

// ReadInputs reads and checks the inputs. An error names the input that is wrong.
func ReadInputs(getenv func(string) string) (Inputs, error) {
	get := func(name string) string { return strings.TrimSpace(getenv("INPUT_" + strings.ToUpper(name))) }
	var err error
	one := func(name, otherwise string, of ...string) string {
		v := get(name)
		if v == "" {
			return otherwise
		}
		if !slices.Contains(of, v) && err == nil {
			err = fmt.Errorf("input %s: %q is none of %s", name, v, strings.Join(of, ", "))
		}
		return v
	}
	yes := func(name, otherwise string) bool { return one(name, otherwise, "true", "false") == "true" }
	in := Inputs{
		Scan: words(get("scan")), Images: lines(get("image")), Paths: lines(get("path")), Range: get("range"), Repository: get("repository"),
		FailOn: one("fail-on", "", "never", "live", "suspect", "found"), Confidence: one("confidence", "medium", "low", "medium", "high"),
		Verify: one("verify", "auto", "auto", "on", "off"), NoSelfHosted: words(get("no-self-hosted")), Kill: one("kill", "off", "off", "plan", "apply"), DeleteLog: yes("delete-log", "false"),
		Policy: get("policy"), Allow: get("allow"), Rules: lines(get("rules")), Ledger: get("ledger"), FingerprintKey: get("fingerprint-key"), Recipients: words(get("recipients")),
		Sarif: get("sarif-file"), UploadSarif: yes("upload-sarif", "false"), Comment: yes("pr-comment", "true"), Annotations: yes("annotations", "true"), Summary: yes("summary", "true"),
		Token: get("github-token"),
	}
	for _, s := range in.Scan {
		if !slices.Contains(Sources, s) && err == nil {
			err = fmt.Errorf("input scan: %q is none of %s", s, strings.Join(Sources, ", "))
		}
	}
	for _, c := range []struct {
		source, input string
		given         []string
	}{{"image", "image", in.Images}, {"path", "path", in.Paths}} {
		if slices.Contains(in.Scan, c.source) && len(c.given) == 0 && err == nil {
			err = fmt.Errorf("input scan names %s, and the input %s says none", c.source, c.input)
		}
		// If a source is named, only named sources are scanned.
		if len(c.given) > 0 && !slices.Contains(in.Scan, c.source) {
			in.Scan = append(in.Scan, c.source)
		}
	}
	return in, err
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

func lines(s string) (out []string) {
	for l := range strings.Lines(s) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// Sources returns what is scanned: the named sources, or those of the event.
func (in Inputs) Sources(d Decision) []string {
	switch {
	case len(in.Scan) > 0:
		return in.Scan
	case d.Run != 0:
		return []string{"logs"}
	}
	return []string{"git"}
}

// Judgement is how strict a run is.
type Judgement struct {
	Offline bool
	FailOn  string
	Reason  string // why no issuer is asked, if the inputs do not decide it
}

// Judge decides whether issuers are asked, and what fails the job.
func (in Inputs) Judge(d Decision) Judgement {
	j := Judgement{Offline: in.Verify == "off", FailOn: in.FailOn}
	switch {
	case d.Stranger == "":
	case in.Verify == "auto", d.Public && !j.Offline:
		// The job's result would show the author of a pull request whether a token that
		// the author planted is alive.
		j.Offline, j.Reason = true, "no issuer is asked, since "+d.Stranger
	}
	if j.FailOn == "" {
		j.FailOn = "live"
		if j.Offline {
			j.FailOn = "suspect"
		}
	}
	return j
}

// MayApply returns the reason why kill: apply is refused; empty: it is allowed. The record of a
// kill must outlive the machine of the run, and differ from that of the next run.
func (in Inputs) MayApply(e Env, d Decision, ledgerDurable bool) string {
	switch {
	case d.NoKill != "":
		return d.NoKill
	case in.Policy == "":
		return "the input policy names no file of the default branch"
	case in.FingerprintKey == "":
		return "the input fingerprint-key is empty: each run would name the same credential otherwise"
	case in.Ledger == "":
		return "the input ledger is empty: what was done would be forgotten"
	case !ledgerDurable:
		return "the ledger lies on the runner, which is gone after the job"
	case in.Verify == "off":
		return "verify is off: nothing is killed that was not seen alive"
	}
	return ""
}
