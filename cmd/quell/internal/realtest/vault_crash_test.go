package realtest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/quellhq/quell/cmd/quell/internal/cli"
)

// asQuell makes the test binary run quell's command line, so that a test can kill it.
const asQuell = "QUELL_REALTEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asQuell) != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv))
	}
	os.Exit(m.Run())
}

// start starts quell in a process of its own.
func (o *operator) start(args ...string) (*exec.Cmd, *bytes.Buffer) {
	o.t.Helper()
	var out bytes.Buffer
	return o.startTo(&out, args...), &out
}

// startTo starts quell with out as its output.
func (o *operator) startTo(out io.Writer, args ...string) *exec.Cmd {
	o.t.Helper()
	exe := o.exe
	if exe == "" {
		exe = os.Args[0]
	}
	c := exec.Command(exe, args...)
	c.Env = append(os.Environ(), asQuell+"=1", "HOME="+o.dir)
	for k, v := range o.env {
		c.Env = append(c.Env, k+"="+v)
	}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		o.t.Fatal(err)
	}
	return c
}

// round is one rotation of an AppRole secret id that is killed on its way.
type round struct {
	o                    *operator
	role, leaked, second string
	plan                 string
	hcl                  string // quell's rights during the round
}

// The rotation of a secret id is killed at random moments, by one apply or by two side
// by side, until it is through: it happened once, or once more after what a crash had
// lost was ended. One secret id remains next to that of another user, in KV, and the
// leaked one and its token are gone.
func TestVaultRotationThatIsKilled(t *testing.T) {
	t.Parallel()
	n := 4
	if s, err := strconv.Atoi(os.Getenv("QUELL_CAMPAIGN")); err == nil {
		n = s
	}
	b := newBed(t)
	if err := b.c.Sys().EnableAuthWithOptions("approle", &api.EnableAuthOptions{Type: "approle"}); err != nil {
		t.Fatal(err)
	}
	kills, lost, again := 0, 0, 0
	var waiting []round
	span := 1500 * time.Millisecond
	random := rand.New(rand.NewPCG(7, uint64(n)))
	for i := range n {
		r := b.round(i)
		side := 1 + i%2
		for range 2 {
			var all []*exec.Cmd
			for range side {
				c, _ := r.o.start("apply", r.plan, "--format", "jsonl")
				all = append(all, c)
			}
			for _, c := range all {
				if killedAfter(c, time.Duration(random.Int64N(int64(span)))) {
					kills++
				}
			}
		}
		outcome, held := r.apply(t)
		switch {
		case outcome == "Confirmed":
			if b.check(r) {
				again++
			}
		case outcome == "Held" && strings.Contains(held, "may still take effect"):
			waiting = append(waiting, r)
		default:
			t.Errorf("round %d: %s %s", i, outcome, held)
		}
		if t.Failed() {
			return
		}
	}
	lost = len(waiting)
	if n > 10 && lost > 0 {
		// A request of a killed apply may arrive for two minutes.
		time.Sleep(125 * time.Second)
		for _, r := range waiting {
			if err := b.c.Sys().PutPolicy("quell", r.hcl); err != nil {
				t.Fatal(err)
			}
			if outcome, held := r.apply(t); outcome != "Confirmed" {
				t.Errorf("after the wait: %s %s", outcome, held)
				continue
			}
			if b.check(r) {
				again++
			}
		}
	}
	t.Logf("%d rotations, %d kills: %d issued once more after a lost secret was ended, %d Held for two minutes since the store could not tell", n, kills, again, lost)
}

func killedAfter(c *exec.Cmd, d time.Duration) bool {
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	select {
	case <-ended:
		return false
	case <-time.After(d):
	}
	_ = c.Process.Kill()
	<-ended
	return c.ProcessState.ExitCode() == -1
}

func (b *bed) round(i int) round {
	t := b.t
	t.Helper()
	r := round{o: newOperator(t), role: fmt.Sprintf("ci%d", i)}
	b.o = r.o
	b.write("auth/approle/role/"+r.role, map[string]any{"token_policies": "default", "token_ttl": "1h"})
	b.write("auth/approle/role/"+r.role+"/role-id", map[string]any{"role_id": r.role})
	r.leaked = b.write("auth/approle/role/"+r.role+"/secret-id", nil).Data["secret_id"].(string)
	r.second = b.write("auth/approle/role/"+r.role+"/secret-id", nil).Data["secret_id"].(string)
	if _, err := b.c.KVv2("secret").Put(t.Context(), r.role, map[string]any{"secret_id": r.leaked}); err != nil {
		t.Fatal(err)
	}
	r.o.secrets = []string{r.leaked, r.second, root}
	r.hcl = b.policy(collateral + b.instance("[instance.rotate]\nvault = \""+b.c.Address()+"\"\napprole = \"approle/"+r.role+"\"\nkv = \"secret/"+r.role+"#secret_id\"\ndestroy = true\n"))
	id := b.write("auth/quell/role/quell/secret-id", nil).Data["secret_id"].(string)
	r.o.env["QUELL_SECRET_ID"] = id
	log := r.o.file("job.log", stamp+"VAULT_SECRET_ID="+r.leaked+"\n")
	report := filepath.Join(r.o.dir, "report.jsonl")
	r.plan = filepath.Join(r.o.dir, "plan.json")
	r.o.quell(1, "scan", "log", log, "--format", "jsonl", "--output", report)
	r.o.quell(0, "plan", report, "--output", r.plan)
	return r
}

// apply applies the plan to its end.
func (r round) apply(t *testing.T) (outcome, held string) {
	t.Helper()
	c, out := r.o.start("apply", r.plan, "--format", "jsonl")
	_ = c.Wait()
	r.o.clean(out.String())
	var lines []string
	for _, l := range strings.Split(out.String(), "\n") {
		if strings.HasPrefix(l, "{") {
			lines = append(lines, l)
		}
	}
	list := actions(t, strings.Join(lines, "\n"))
	if len(list) != 1 {
		t.Fatalf("%d actions\n%s", len(list), out)
	}
	return list[0].Outcome, list[0].Held + " " + list[0].Detail
}

// check looks at the store itself, and reports whether a secret id was issued more
// than once.
func (b *bed) check(r round) (again bool) {
	t := b.t
	t.Helper()
	s, err := b.c.Logical().List("auth/approle/role/" + r.role + "/secret-id")
	if err != nil || s == nil {
		t.Fatal(err)
	}
	if n := len(s.Data["keys"].([]any)); n != 2 {
		t.Errorf("%s has %d secret ids, not the new one and the other user's", r.role, n)
	}
	fresh := b.kv(r.role).Data["secret_id"].(string)
	for id, want := range map[string]bool{r.leaked: false, r.second: true, fresh: true} {
		got, err := b.c.Logical().Write("auth/approle/role/"+r.role+"/secret-id/lookup", map[string]any{"secret_id": id})
		if err != nil || (got != nil) != want {
			t.Errorf("a secret id of %s: live %v, want %v (%v)", r.role, got != nil, want, err)
		}
	}
	meta, err := b.c.KVv2("secret").GetMetadata(t.Context(), r.role)
	if err != nil || meta.CurrentVersion != 2 || !meta.Versions["1"].Destroyed {
		t.Errorf("KV was written %d times: %v", meta.CurrentVersion, err)
	}
	return strings.Contains(r.o.quell(0, "ledger", "--format", "jsonl"), `"undo issue-secret-id"`)
}
