package cli

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// installation is an installation of quell with a ledger of a few entries.
type installation struct {
	t    *testing.T
	env  map[string]string
	path string
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	dir := t.TempDir()
	i := &installation{t: t, path: filepath.Join(dir, "ledger.db"), env: map[string]string{"HOME": dir, "XDG_STATE_HOME": dir, "XDG_CONFIG_HOME": dir, "XDG_CACHE_HOME": dir}}
	i.env["QUELL_STATE"] = i.path
	i.append("aa11", "bb22")
	return i
}

func (i *installation) getenv(name string) string { return i.env[name] }

// ledger opens the ledger of the installation.
func (i *installation) ledger() *ledger.Ledger {
	i.t.Helper()
	rt, err := run.New(run.Options{Getenv: i.getenv})
	if err != nil {
		i.t.Fatal(err)
	}
	l, err := rt.Ledger(i.t.Context())
	if err != nil {
		i.t.Fatal(err)
	}
	return l
}

func (i *installation) append(incidents ...string) {
	i.t.Helper()
	l := i.ledger()
	defer l.Close()
	for _, n := range incidents {
		if err := l.Append(i.t.Context(), ledger.Entry{Incident: n, Body: ledger.Found{}}, ledger.Entry{Incident: n, Body: ledger.Outcome{Outcome: "Confirmed"}}); err != nil {
			i.t.Fatal(err)
		}
	}
}

// run returns the exit code and what was printed.
func (i *installation) run(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Run(i.t.Context(), args, strings.NewReader(""), &o, &e, i.getenv)
	return code, o.String(), e.String()
}

func (i *installation) want(code int, contains string, args ...string) string {
	i.t.Helper()
	got, out, errs := i.run(args...)
	if got != code || !strings.Contains(out+errs, contains) {
		i.t.Fatalf("quell %s: exit %d, want %d with %q\n%s%s", strings.Join(args, " "), got, code, contains, out, errs)
	}
	return out
}

func TestAUserGetsOutOfATamperedLedger(t *testing.T) {
	i := newInstallation(t)
	i.want(0, "whole", "ledger", "--verify")
	i.want(2, "no problems", "ledger", "--accept", "--reason", "INC-1")
	db, err := sql.Open("sqlite", i.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`DROP TRIGGER ledger_no_update; DROP TRIGGER ledger_no_delete; DELETE FROM ledger WHERE id > 3`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	i.want(2, "not what was recorded", "ledger", "--verify")
	i.want(2, "--reason", "ledger", "--accept")
	i.want(0, "accepted: ", "ledger", "--accept", "--reason", "INC-1: restored from a backup")
	i.want(0, "accepted: ", "ledger", "--verify")
	i.append("cc33")
	i.want(0, "cc33", "ledger")
}

func TestAnIncidentIsProvenToSomebodyElse(t *testing.T) {
	i := newInstallation(t)
	kept := strings.TrimSpace(i.want(0, "quell-checkpoint:1:", "ledger", "--print-checkpoint"))
	file, all := filepath.Join(t.TempDir(), "proof.jsonl"), filepath.Join(t.TempDir(), "all.jsonl")
	i.want(0, "entries in", "ledger", "--prove", "bb", "--checkpoint", kept, "--output", file)
	i.want(0, "entries in", "ledger", "--export", all)
	// The other machine has nothing of this one's.
	other := &installation{t: t, env: map[string]string{}}
	other.want(0, "the given checkpoint covers them up to entry 5", "ledger", "--check", file, "--checkpoint", kept)
	other.want(0, "entries 1 to 5", "ledger", "--check", all)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte("Confirmed"), []byte("AlreadyDead"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	other.want(2, "does not follow", "ledger", "--check", file)
	i.want(2, "no such incident", "ledger", "--prove", "ff")
}

func TestAnotherInstallationIsAdmitted(t *testing.T) {
	i := newInstallation(t)
	second := newInstallation(t)
	key, _, _ := strings.Cut(second.want(0, "this installation", "ledger", "--installations"), " ")
	i.want(2, "--reason", "ledger", "--admit", key)
	i.want(2, "not a public key", "ledger", "--admit", "AAAA", "--reason", "x")
	i.want(2, "--reason", "ledger", "--admit", key, "--reason", " ")
	i.want(0, "", "ledger", "--admit", key, "--reason", "the second worker")
	if out := i.want(0, key, "ledger", "--installations"); strings.Count(out, "listed") != 2 || strings.Count(out, "this installation") != 1 {
		t.Errorf("%s", out)
	}
}

func TestIncidentsAreListedForPeople(t *testing.T) {
	i := newInstallation(t)
	l := i.ledger()
	ref := &rules.Ref{Rule: "gitlab-pat", Kind: rules.KindAPIKey, Redacted: "glpa…(26 bytes)"}
	place := rules.Location{Path: "build.log", Line: 5, Column: 47}
	v := ledger.Verdict{}
	v.Host, v.Liveness = "git.example.com", revokers.Live
	for _, id := range []string{"0011223344556677", "0011223355556677"} {
		if err := l.Append(t.Context(),
			ledger.Entry{Incident: id, Body: ledger.Found{Credential: ref, Exposures: []rules.Location{place, place}}},
			ledger.Entry{Incident: id, Body: v},
			ledger.Entry{Incident: id, Body: ledger.Receipt{Status: 403, Detail: `the issuer answered 403: {"error":"insufficient_scope","scope":["api"]}`}},
			ledger.Entry{Incident: id, Body: ledger.Outcome{Outcome: "StillAlive", Control: "none"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	out := i.want(0, "incidents. quell ledger INCIDENT", "ledger")
	for _, want := range []string{"001122334  StillAlive", "001122335  StillAlive", "git.example.com  build.log:5:47 and 1 more", "API key glpa…(26 bytes)"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	one := i.want(0, "StillAlive", "ledger", "001122334")
	for _, want := range []string{"incident 0011223344556677: API key gitlab-pat glpa…(26 bytes), StillAlive\n", "error insufficient_scope, scope api"} {
		if !strings.Contains(one, want) {
			t.Errorf("no %q in\n%s", want, one)
		}
	}
	if strings.ContainsAny(one, "{}") {
		t.Errorf("raw JSON in\n%s", one)
	}
	i.want(2, "several incidents", "ledger", "0011")
}

// legal_hold prevents the deletion of sealed values, and so does a policy that can't be read.
func TestALegalHoldKeepsSealedValues(t *testing.T) {
	i := newInstallation(t)
	file := filepath.Join(i.env["XDG_CONFIG_HOME"], "quell", "policy.toml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"version = 1\nlegal_hold = true\n": "legal_hold is set", "version = 1\nlegal_hodl = true\n": "to see legal_hold"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		i.want(2, want, "ledger", "--purge", "1d")
		i.want(2, want, "ledger", "--forget", "aa11")
	}
	if err := os.WriteFile(file, []byte("version = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i.want(0, "deleted", "ledger", "--purge", "1d")
}

// A secret that somebody pastes into a reason is in no table, file or output.
func TestAReasonIsRecordedWithoutTheSecretInIt(t *testing.T) {
	i, second := newInstallation(t), newInstallation(t)
	key, _, _ := strings.Cut(second.want(0, "this installation", "ledger", "--installations"), " ")
	token := "glpat-" + "Zx8vQ2mN7bT4kL1pW9sR"
	encoded := base64.StdEncoding.EncodeToString([]byte("PRIVATE-TOKEN: " + token))
	i.want(0, "without it", "ledger", "--admit", key, "--reason", "INC-7: "+token+" leaked, also as "+encoded)
	out := i.want(0, "INC-7", "ledger", "--format", "jsonl") + i.want(0, "INC-7", "ledger", "--export", "-")
	for _, file := range []string{i.path, i.path + "-wal"} {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		out += string(b)
	}
	for _, s := range []string{token, encoded} {
		if strings.Contains(out, s) {
			t.Errorf("%s is in the ledger", s)
		}
	}
	if !strings.Contains(out, rules.Redacted+" leaked") {
		t.Errorf("the rest of the reason is not recorded: %s", out)
	}
}
