package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"crypto/ed25519"

	"github.com/spf13/cobra"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/quellhq/quell/cmd/quell/internal/foreign"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

func decodePublic(s string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("trust-key %q is no Ed25519 public key in base64", s)
	}
	return b, nil
}

func (a *app) check() *cobra.Command {
	var rule, cookie string
	c := &cobra.Command{Use: "check [REPORT…]", Short: "Ask whether credentials are alive: tokens on standard input, or those of reports, other scanners' included",
		Long: `Ask whether credentials are alive.

Without an argument, or with -, standard input is read: a JSON-lines report of
quell scan, a report of gitleaks, betterleaks, TruffleHog, Kingfisher,
detect-secrets, ggshield, GitHub's secret-scanning alerts or SARIF, or one
credential a line (a token, or NAME=VALUE for a cookie).
A secret is never taken from the command line, where other users could read it.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.runCheck(c.Context(), args, rule, cookie)
		}}
	c.Flags().StringVar(&rule, "rule", "", "the rule's `ID`, for a token whose form does not identify its issuer")
	c.Flags().StringVar(&cookie, "cookie", "", "the cookie's `NAME`, for a bare cookie value")
	return c
}

func (a *app) runCheck(ctx context.Context, args []string, rule, cookie string) error {
	o, err := a.scanOptions("check", nil)
	if err != nil {
		return err
	}
	rt, err := a.runtime(mayLackSecrets)
	if err != nil {
		return err
	}
	creds, err := a.credentials(rt, args, rule, cookie)
	if err != nil {
		return err
	}
	if a.offline {
		return errors.New("check asks issuers; --offline forbids it")
	}
	sink, err := a.sink(rt.Rules)
	if err != nil {
		return err
	}
	defer sink.Close()
	res, err := rt.Check(ctx, o, creds, sink)
	if err != nil {
		return err
	}
	return finish(sink, res.Summary)
}

// credentials reads reports, or bare tokens. A credential of several reports
// is one.
func (a *app) credentials(rt *run.Runtime, args []string, rule, cookie string) ([]rules.Credential, error) {
	if len(args) == 0 {
		args = []string{"-"}
	}
	var out []rules.Credential
	index := map[string]int{}
	for _, name := range args {
		list, err := a.readCredentials(rt, name, rule, cookie)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			if i, ok := index[c.Fingerprint]; ok {
				out[i].Findings = append(out[i].Findings, c.Findings...)
				out[i].Ref.Merge(c.Ref)
				continue
			}
			index[c.Fingerprint] = len(out)
			out = append(out, c)
		}
	}
	return out, nil
}

func (a *app) readCredentials(rt *run.Runtime, name, rule, cookie string) ([]rules.Credential, error) {
	in := io.Reader(nil)
	if name == "-" {
		name, in = "standard input", a.stdin()
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		defer f.Close()
		in = f
	}
	// Windows' shell writes what it redirects in UTF-16.
	b := bufio.NewReaderSize(transform.NewReader(in, unicode.BOMOverride(transform.Nop)), headSize)
	if foreign.IsJSON(b) {
		head, _ := b.Peek(headSize)
		switch formOf(head) {
		case ownLines:
			return a.fromReport(rt, name, b)
		case ownDocument:
			return a.fromDocument(rt, name, b)
		}
		return a.fromForeign(rt, name, b)
	}
	return fromTokens(rt, name, b, rule, cookie)
}

// headSize is how much of a report decides what it is, in bytes.
const headSize = 1 << 20

// form is who wrote a report of JSON.
type form int

const (
	otherForm   form = iota // another scanner's
	ownLines                // quell's objects, one after the other
	ownDocument             // quell's objects in a list, or in a document of them
)

// formOf recognises quell's own reports by what the first object contains, in whichever
// order of keys and with whichever spaces another program wrote it again.
func formOf(head []byte) form {
	d := json.NewDecoder(bytes.NewReader(head))
	whole := ownLines
	t, err := d.Token()
	if t == json.Delim('[') {
		whole = ownDocument
		t, err = d.Token()
	}
	if err != nil || t != json.Delim('{') {
		return otherForm
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		err = d.Decode(&value) // fails if the value is longer than the head
		switch {
		case key == "type" && report.IsType(value):
			return whole
		case key == "events" && whole == ownLines:
			rest := bytes.TrimLeft(head[d.InputOffset():], ": \t\r\n")
			if err == nil {
				rest = value
			}
			if bytes.HasPrefix(rest, []byte("[")) {
				return ownDocument
			}
		}
		if err != nil {
			break
		}
	}
	return otherForm
}

// fromDocument reads quell's own report of format json, or a list of its objects.
func (a *app) fromDocument(rt *run.Runtime, name string, r io.Reader) ([]rules.Credential, error) {
	var whole json.RawMessage
	if err := json.NewDecoder(r).Decode(&whole); err != nil {
		return nil, fmt.Errorf("%s: not a whole report (hint: make it again)", name)
	}
	var doc struct {
		Events []json.RawMessage `json:"events"`
	}
	var err error
	if whole[0] == '[' {
		err = json.Unmarshal(whole, &doc.Events)
	} else {
		err = json.Unmarshal(whole, &doc)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not a report (hint: make it again)", name)
	}
	var lines bytes.Buffer
	for _, e := range doc.Events {
		lines.Write(e)
		lines.WriteByte('\n')
	}
	return a.fromReport(rt, name, &lines)
}

// fromReport reads quell's objects, one after the other.
func (a *app) fromReport(rt *run.Runtime, name string, r io.Reader) ([]rules.Credential, error) {
	ids, err := rt.Identities()
	if err != nil {
		return nil, err
	}
	var out []rules.Credential
	d := json.NewDecoder(r)
	for n := 1; ; n++ {
		var object json.RawMessage
		err := d.Decode(&object)
		if err == io.EOF {
			return out, nil
		}
		var e report.Event
		if err == nil {
			e, err = report.Unmarshal(object)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: object %d is not one of a report, or not whole (hint: make it again)", name, n)
		}
		switch e := e.(type) {
		case report.Config:
			if e.Protocol > report.Protocol {
				return nil, fmt.Errorf("%s: protocol %d is newer than this quell", name, e.Protocol)
			}
		case report.Credential:
			c, err := run.OpenCredential(rt.Rules, e.Ref, e.Sealed, ids...)
			if err != nil {
				return nil, fmt.Errorf("%s: object %d: %w", name, n, err)
			}
			c.Fingerprint = rt.Keys.Fingerprint.Fingerprint(c.Secret)
			for _, l := range e.Locations {
				c.Findings = append(c.Findings, rules.Finding{Ref: c.Ref, Secret: c.Secret, Location: l})
			}
			out = append(out, c)
		}
	}
}

// fromTokens reads a list with one token on each line.
func fromTokens(rt *run.Runtime, name string, r io.Reader, rule, cookie string) ([]rules.Credential, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > maxImport {
		return nil, errors.New("the list is larger than 1 GiB (hint: divide it)")
	}
	var out []rules.Credential
	engine := detect.New(rt.Rules)
	for n, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		loc := rules.Location{Source: "check", Path: "-", Line: n + 1, Column: 1, EndLine: n + 1, EndColumn: len(line) + 1}
		if rule != "" {
			r := rt.Rules.Rule(rule)
			if r == nil {
				return nil, fmt.Errorf("no rule %q (hint: quell rules list)", rule)
			}
			s := rules.NewSecret(line)
			c := rules.Credential{Ref: rules.Ref{Fingerprint: rt.Keys.Fingerprint.Fingerprint(s), Rule: r.ID, Kind: r.Kind, Confidence: rules.High, Redacted: s.Hint(), Cookie: cookie, Offline: rules.Offline{State: rules.OfflineUnknown}}, Secret: s}
			if r.Provider != nil {
				c.Provider = r.Provider.ID
			}
			if r.Cookie != nil && cookie == "" {
				c.Cookie = r.Cookie.Names[0]
			}
			c.Findings = []rules.Finding{{Ref: c.Ref, Secret: s, Location: loc}}
			out = append(out, c)
			continue
		}
		if cookie != "" {
			line = append([]byte(cookie+"="), line...)
		}
		var found []rules.Finding
		for m := range engine.Detect(scanners.Chunk{Artifact: &scanners.Artifact{Location: loc}, Data: line, Line: 1, Column: 1, To: len(line)}) {
			f := m.Finding()
			f.Location = loc
			found = append(found, f)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: line %d is neither a report's nor a token of a known form (hint: quell scan log FILE searches a text; --rule ID names the form of the tokens)", name, n+1)
		}
		creds, err := run.Credentials(found, rt.Keys.Fingerprint, rt.Rules)
		if err != nil {
			return nil, err
		}
		out = append(out, creds...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: nothing to check", name)
	}
	return out, nil
}
