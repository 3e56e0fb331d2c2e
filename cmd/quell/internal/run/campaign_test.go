package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"crypto/ed25519"

	"filippo.io/age"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/plan"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules/credential"
)

// Campaigns apply plans in processes of their own, so that they can be killed. They
// are short unless QUELL_CAMPAIGN has a number of repetitions: see make campaign.

// campaignSize is the number of repetitions.
func campaignSize(t *testing.T, short int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("QUELL_CAMPAIGN")); err == nil {
		return n
	}
	if testing.Short() {
		return max(short/4, 1)
	}
	return short
}

// childConfig is what a process needs to apply a plan of a bench.
type childConfig struct {
	Issuer, Vault, Control, Ledger, State, Identity, Plan string
	Limit                                                 uint64 // of the size of files, in bytes
}

const childEnv = "QUELL_TEST_APPLY"

// TestMain applies a plan instead of running tests if the environment requests it.
func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		testing.Init()
		os.Args = []string{os.Args[0], "-test.run=^TestApplyInAProcess$"}
	}
	os.Exit(m.Run())
}

// childAction is an action as the process prints it.
type childAction struct {
	Fingerprint, Outcome, Held, Remedy, Detail string
}

// TestApplyInAProcess is the process that campaigns start. It fails if it can't be
// set up.
func TestApplyInAProcess(t *testing.T) {
	text := os.Getenv(childEnv)
	if text == "" {
		t.Skip("a campaign starts it")
	}
	var c childConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	limitFiles(t, c.Limit)
	u, err := url.Parse(c.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, set: githubRules(t), path: c.Ledger, state: c.State, in: &issuer.Instance{Provider: "github", URL: u, Operator: true, Controls: []issuer.Control{{Secret: credential.NewSecretString(c.Control)}}, Settle: 60 * time.Millisecond, Settings: map[string]string{}}}
	if b.id, err = age.ParseX25519Identity(c.Identity); err != nil {
		t.Fatal(err)
	}
	list := issuer.Instances{b.in}
	if c.Vault != "" {
		v, err := url.Parse(c.Vault)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b.storedIn(v))
	}
	_, a := b.installation(ours(c.Issuer), list)
	a.Lease, a.Patience = 700*time.Millisecond, time.Second
	file, err := os.ReadFile(c.Plan)
	if err != nil {
		t.Fatal(err)
	}
	p, id, err := plan.Verify(file, []ed25519.PublicKey{signKey.Public().(ed25519.PublicKey)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Apply(t.Context(), p, id, func(act report.Action) error {
		line, err := json.Marshal(childAction{act.Fingerprint, string(act.Outcome), act.Held, act.Remedy, act.Detail})
		fmt.Printf("\naction %s\n", line)
		return err
	}); err != nil {
		fmt.Printf("\nfailed %v\n", err)
	}
}

// campaign is a bench whose plan is in a file.
type campaign struct {
	*bench
	vault  *vaultRole
	config childConfig
	naked  int // requests that arrived before their intent was in the ledger
}

// begin makes n tokens, or one that a Vault manages, and their plan.
func begin(t *testing.T, path string, n int, managed bool, seed byte) *campaign {
	t.Helper()
	c := &campaign{bench: setupAt(t, n, path, seed)}
	c.config = childConfig{Issuer: c.in.URL.String(), Control: c.in.Controls[0].Secret.Reveal(), Ledger: path, State: c.state, Identity: c.id.String(), Plan: filepath.Join(t.TempDir(), "plan.json")}
	if managed {
		c.vault = c.managed()
		c.config.Vault = c.in.Rotate.Vault
	}
	file, err := plan.Sign(c.plan(), signKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.config.Plan, file, 0o600); err != nil {
		t.Fatal(err)
	}
	sent := map[string]int{}
	c.issuer.set(func(g *github) {
		g.revoked = func() {
			for _, s := range g.revokes[len(g.revokes)-1] {
				sent[s]++
				// While the database restarts the count is not known; end counts again.
				if n, err := c.intents(s); err == nil && n < sent[s] {
					c.naked++
				}
			}
		}
	})
	return c
}

// intents counts the intents to revoke a token.
func (c *campaign) intents(token string) (n int, err error) {
	for _, cred := range c.creds {
		if cred.Secret.Reveal() != token {
			continue
		}
		entries, err := c.applier.Ledger.Incident(c.t.Context(), cred.Fingerprint)
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			if i, ok := e.Body.(ledger.Intent); ok && i.Action == "revoke" {
				n++
			}
		}
	}
	return n, nil
}

// start applies the plan in a process.
func (c *campaign) start(change func(*childConfig)) (*exec.Cmd, *bytes.Buffer) {
	c.t.Helper()
	config := c.config
	if change != nil {
		change(&config)
	}
	text, err := json.Marshal(config)
	if err != nil {
		c.t.Fatal(err)
	}
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), childEnv+"="+string(text))
	var out bytes.Buffer
	p.Stdout, p.Stderr = &out, &out
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	return p, &out
}

func childActions(out []byte) (list []childAction, failed string) {
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if text, ok := bytes.CutPrefix(lines.Bytes(), []byte("action ")); ok {
			var a childAction
			if json.Unmarshal(text, &a) == nil {
				list = append(list, a)
			}
		}
		if text, ok := bytes.CutPrefix(lines.Bytes(), []byte("failed ")); ok {
			failed = string(text)
		}
	}
	return list, failed
}

// killAfter kills a process after a time, and reports whether it was still running.
func killAfter(p *exec.Cmd, d time.Duration) bool {
	ended := make(chan struct{})
	go func() { _ = p.Wait(); close(ended) }()
	select {
	case <-ended:
		return false
	case <-time.After(d):
	}
	_ = p.Process.Kill()
	<-ended
	return p.ProcessState.ExitCode() == -1
}

// figures are what a campaign counted.
type figures struct{ rounds, kills, confirmed, held, requests, repeated int }

// end applies until the process ends by itself, and checks what must hold.
func (c *campaign) end(f *figures) {
	t := c.t
	t.Helper()
	p, out := c.start(nil)
	if err := p.Wait(); err != nil {
		t.Fatalf("the last apply: %v\n%s", err, out)
	}
	acts, failed := childActions(out.Bytes())
	if failed != "" || len(acts) != len(c.creds) {
		t.Fatalf("%d of %d outcomes, %s\n%s", len(acts), len(c.creds), failed, out)
	}
	held := map[string]bool{}
	for _, a := range acts {
		switch {
		case prove.Outcome(a.Outcome) == prove.Confirmed:
			f.confirmed++
		case prove.Outcome(a.Outcome) == prove.Held && a.Remedy != "" && c.vault != nil:
			held[a.Fingerprint] = true
			f.held++
		default:
			t.Errorf("%s: %s %s %s", a.Fingerprint, a.Outcome, a.Held, a.Detail)
		}
	}
	sent := map[string]int{}
	for _, r := range c.issuer.requests() {
		for _, s := range r {
			sent[s]++
		}
	}
	for _, cred := range c.creds {
		s := cred.Secret.Reveal()
		if n, err := c.intents(s); err != nil || sent[s] > n || !held[cred.Fingerprint] && n == 0 {
			t.Errorf("%d requests, %d intents: %v", sent[s], n, err)
		}
		if f.requests += sent[s]; sent[s] > 1 {
			f.repeated++
		}
		var live bool
		c.issuer.set(func(g *github) { _, live = g.live[s] })
		if live && !held[cred.Fingerprint] {
			t.Error("a credential with a final outcome is live")
		}
		if n := countType(c.types(cred), ledger.TypeOutcome); n != 1 && !held[cred.Fingerprint] {
			t.Errorf("%d outcomes of an incident", n)
		}
	}
	if c.vault != nil && c.vault.count() > 1 {
		t.Errorf("%d rotations", c.vault.count())
	}
	c.issuer.set(func(*github) {
		if c.naked > 0 {
			t.Errorf("%d requests arrived before their intent was recorded", c.naked)
		}
	})
	if r, err := c.applier.Ledger.Verify(t.Context(), nil); err != nil || !r.OK() {
		t.Errorf("the ledger is not whole: %+v %v", r.Problems, err)
	}
	f.rounds++
}

// crash kills applies at random moments until n were killed. side is how many
// processes apply the plan at once.
func crash(t *testing.T, n, side int, path func(round int) string, other func(*childConfig)) {
	t.Helper()
	var f figures
	span := 1200 * time.Millisecond
	random := rand.New(rand.NewPCG(uint64(n), uint64(side)))
	for round := 0; f.kills < n && round < 20*n+20; round++ {
		managed := round%2 == 1
		tokens := 3
		if managed {
			tokens = 1
		}
		c := begin(t, path(round), tokens, managed, byte(round))
		for range 2 {
			var all []*exec.Cmd
			for i := range side {
				var change func(*childConfig)
				if i > 0 {
					change = other
				}
				p, _ := c.start(change)
				all = append(all, p)
			}
			killed := make(chan bool, side)
			for _, p := range all {
				d := 30*time.Millisecond + time.Duration(random.Int64N(int64(span)))
				go func() { killed <- killAfter(p, d) }()
			}
			for range all {
				if <-killed {
					f.kills++
				} else {
					span = max(span*9/10, 150*time.Millisecond)
				}
			}
		}
		span += 20 * time.Millisecond
		c.end(&f)
		if t.Failed() {
			break
		}
		_ = c.applier.Ledger.Close()
	}
	if f.kills < n {
		t.Errorf("only %d processes were killed", f.kills)
	}
	t.Logf("%d kills in %d rounds: %d Confirmed, %d Held with a remedy; %d requests, %d credentials sent again after a crash", f.kills, f.rounds, f.confirmed, f.held, f.requests, f.repeated)
}

func fileOf(t *testing.T) func(int) string {
	return func(int) string { return filepath.Join(t.TempDir(), "ledger.db") }
}

func TestAnApplyThatIsKilledAtAnyMoment(t *testing.T) {
	crash(t, campaignSize(t, 8), 1, fileOf(t), nil)
}

func TestAppliesThatAreKilledSideBySide(t *testing.T) {
	crash(t, campaignSize(t, 8), 2, fileOf(t), nil)
}
