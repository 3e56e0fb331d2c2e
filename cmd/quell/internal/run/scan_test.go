package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/files"
)

// recorder is a Sink that calls a function.
type recorder func(report.Event) error

func (r recorder) Emit(e report.Event) error { return r(e) }
func (recorder) Close() error                { return nil }

// testRuntime returns an offline Runtime with its own state folder and keys.
func testRuntime(t *testing.T) *Runtime {
	t.Helper()
	home := t.TempDir()
	r, err := New(Options{Offline: true, Getenv: func(name string) string { return map[string]string{"HOME": home}[name] }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func scanned(t *testing.T, o ScanOptions) (*Scanned, []report.Event) {
	t.Helper()
	var events []report.Event
	res, err := testRuntime(t).Scan(t.Context(), o, recorder(func(e report.Event) error {
		events = append(events, e)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return res, events
}

// pat generates a token that was never issued, with valid check digits.
func pat(t testing.TB, random io.Reader) string {
	t.Helper()
	s, err := rules.Generate("ghp"+"_{base62:30}{crc32}", random)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// perLine is a Detector that finds the value of each line of the form token=VALUE, the last line
// first. Tests that need very many findings use it, because the engine would take a minute.
type perLine struct{}

func (perLine) MaxLen() int { return 256 }

func (perLine) Detect(c scanners.Chunk) iter.Seq[scanners.Match] {
	rule := &rules.Rule{ID: "made-up", Kind: rules.KindAPIKey}
	return func(yield func(scanners.Match) bool) {
		var list []scanners.Match
		for at := c.From; at < c.To; {
			n := bytes.Index(c.Data[at:], []byte("token="))
			if n < 0 || at+n >= c.To {
				break
			}
			start := at + n + len("token=")
			end := len(c.Data)
			if n := bytes.IndexByte(c.Data[start:], '\n'); n >= 0 {
				end = start + n
			}
			list = append(list, scanners.Match{Rule: rule, Secret: rules.NewSecretString(string(c.Data[start:end])), Start: start, End: end, Confidence: rules.High})
			at = end
		}
		for _, m := range slices.Backward(list) {
			if !yield(m) {
				return
			}
		}
	}
}

// seeded returns a stream of random bytes that depends on n alone.
func seeded(n byte) io.Reader { return rand.NewChaCha8([32]byte{n}) }

func TestTheFirstFindingIsEmittedBeforeTheScanEnds(t *testing.T) {
	rnd := seeded(1)
	dir := t.TempDir()
	r := testRuntime(t)
	first := filepath.Join(dir, "first.txt")
	if err := os.WriteFile(first, []byte("token="+pat(t, rnd)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The second artifact has no end until the first one's finding is out.
	in, out := io.Pipe()
	seen := make(chan struct{})
	go func() {
		select {
		case <-seen:
		case <-time.After(30 * time.Second):
		}
		_ = out.Close()
	}()
	open := true
	res, err := r.Scan(t.Context(), ScanOptions{Workers: 2, Sources: []scanners.Source{files.Source{Name: "path", Targets: []string{first, "-"}, Stdin: in}}}, recorder(func(e report.Event) error {
		if _, ok := e.(report.Finding); ok && open {
			open = false
			close(seen)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if open || res.Summary.Findings != 1 || res.Summary.Seconds > 25 {
		t.Errorf("%+v", res.Summary)
	}
}

func TestTheFindingsOfAnArtifactAreInOrder(t *testing.T) {
	rnd := seeded(2)
	dir := t.TempDir()
	for n := range 5 {
		var b strings.Builder
		for range 200 {
			fmt.Fprintf(&b, "token=%s\n", pat(t, rnd))
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, events := scanned(t, ScanOptions{Detector: perLine{}, Sources: []scanners.Source{files.Source{Name: "path", Targets: []string{dir}}}})
	var paths []string
	line := 0
	for _, e := range events {
		f, ok := e.(report.Finding)
		if !ok {
			continue
		}
		if len(paths) == 0 || paths[len(paths)-1] != f.Location.Path {
			paths, line = append(paths, f.Location.Path), 0
		}
		if f.Location.Line <= line {
			t.Fatalf("%s: line %d comes after line %d", f.Location.Path, f.Location.Line, line)
		}
		line = f.Location.Line
	}
	if len(paths) != 5 {
		t.Errorf("the findings of the artifacts are mixed: %q", paths)
	}
}

func TestASinkThatFailsEndsTheScan(t *testing.T) {
	rnd := seeded(3)
	r := testRuntime(t)
	full := errors.New("no space left")
	path := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(path, []byte("token="+pat(t, rnd)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := r.Scan(t.Context(), ScanOptions{Sources: []scanners.Source{files.Source{Name: "path", Targets: []string{path}}}}, recorder(func(e report.Event) error {
		if _, ok := e.(report.Finding); ok {
			return full
		}
		return nil
	}))
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestAnInterruptionKeepsWhatWasFound(t *testing.T) {
	rnd := seeded(4)
	r := testRuntime(t)
	first := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(first, []byte("token="+pat(t, rnd)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	var kinds []string
	res, err := r.Scan(ctx, ScanOptions{Workers: 2, Sources: []scanners.Source{files.Source{Name: "path", Targets: []string{first, "-"}, Stdin: in}}}, recorder(func(e report.Event) error {
		kinds = append(kinds, fmt.Sprintf("%T", e))
		if _, ok := e.(report.Finding); ok {
			cancel()
			_ = out.Close()
		}
		return nil
	}))
	if err != nil || res.Summary.ExitCode != ExitInterrupted || res.Summary.Credentials != 1 || !slices.Contains(kinds, "report.Credential") {
		t.Errorf("%v %+v %v", err, res, kinds)
	}
}

// attributed is a source that adds details to its findings, to some of them only after the last
// artifact was read.
type attributed struct {
	scanners.Session
	late  string
	ended bool
	calls []int
	early bool
}

func (a *attributed) Open(context.Context) (scanners.Session, error) { return a, nil }

func (a *attributed) Attribution(at rules.Location) scanners.Attribution {
	if strings.HasSuffix(at.Path, a.late) {
		return scanners.Late
	}
	return scanners.Early
}

func (a *attributed) Attribute(_ context.Context, list []*rules.Finding) error {
	a.calls = append(a.calls, len(list))
	for _, f := range list {
		a.early = a.early || !a.ended && strings.HasSuffix(f.Location.Path, a.late)
		f.Location.Notes = map[string]string{"author": "of " + filepath.Base(f.Location.Path)}
	}
	return nil
}
func (a *attributed) Finish(context.Context, func(scanners.Gap)) { a.ended = true }

func TestFindingsAreAttributedInBatches(t *testing.T) {
	rnd := seeded(5)
	dir := t.TempDir()
	const lines = firstBatch + 100
	for _, name := range []string{"a.txt", "late.txt"} {
		var b strings.Builder
		for range lines {
			fmt.Fprintf(&b, "token=%s\n", pat(t, rnd))
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src := &attributed{Session: scanners.Of(files.Source{Name: "path", Targets: []string{dir}}.Artifacts), late: "late.txt"}
	res, events := scanned(t, ScanOptions{Detector: perLine{}, Sources: []scanners.Source{src}})
	n := 0
	for _, e := range events {
		if f, ok := e.(report.Finding); ok {
			n++
			if f.Location.Notes["author"] != "of "+filepath.Base(f.Location.Path) {
				t.Fatalf("%+v", f.Location)
			}
		}
	}
	if n != 2*lines || res.Summary.Findings != n {
		t.Errorf("%d findings, want %d", n, 2*lines)
	}
	if src.early || len(src.calls) != 2 || src.calls[0] < firstBatch {
		t.Errorf("calls with %v findings, early %v", src.calls, src.early)
	}
}

// For random findings, the credentials and groups equal those of a plain implementation in memory.
func TestCredentialsAreThoseOfTheReference(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	kinds := []struct {
		rule   string
		kind   rules.Kind
		cookie string
	}{{"jwt", rules.KindJWT, ""}, {"oauth-refresh-token", rules.KindRefresh, ""}, {"slack-client-token", rules.KindBearer, ""}, {"slack-session-cookie", rules.KindSessionCookie, "d"},
		{"aws-access-token", rules.KindAPIKey, ""}, {"aws-secret-key", rules.KindAPIKey, ""}, {"aws-session-token", rules.KindBearer, ""},
		{"nextauth-session", rules.KindSessionCookie, "next.0"}, {"nextauth-session", rules.KindSessionCookie, "next.1"}, {"nextauth-session", rules.KindSessionCookie, "next.2"},
		{"koa-session", rules.KindSessionCookie, "sess"}, {"cookie-signature", rules.KindSessionCookie, "sess.sig"}, {"cookie-signature", rules.KindSessionCookie, "sess.sig.sig"}}
	key := rules.FingerprintKey{1}
	for seed := range 300 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 6))
		var list []rules.Finding
		taken := map[int]bool{}
		for range rnd.IntN(60) {
			k := kinds[rnd.IntN(len(kinds))]
			f := finding(k.rule, k.kind, k.cookie, fmt.Sprintf("%s-%s-%d", k.rule, k.cookie, rnd.IntN(4)), 0)
			at := rnd.IntN(60)
			if taken[at] {
				continue
			}
			taken[at] = true
			f.Location.Path, f.Location.Offset = fmt.Sprint(at%3), int64(at/3)*1500
			f.Location.EndOffset = f.Location.Offset + 20
			f.Confidence = rules.Confidence(rnd.IntN(3))
			f.Partial = rnd.IntN(20) == 0
			if rnd.IntN(3) == 0 {
				f.Offline.State = rules.OfflineExpired
			}
			f.Claims.Hosts = []string{fmt.Sprint(rnd.IntN(5))}
			list = append(list, f)
		}
		got, err := Credentials(list, key, set)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(list, func(a, b rules.Finding) int {
			return slices.Compare(placeKey(a.Location, a.Rule), placeKey(b.Location, b.Rule))
		})
		want := referenceBind(referenceGroup(list, key, set), key)
		want = referenceParts(want)
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d credentials, want %d", seed, len(got), len(want))
		}
		for i := range want {
			got[i].PartFingerprints = nil // the reference knows groups, not the parts of rules files
			if !reflect.DeepEqual(got[i].Ref, want[i].Ref) || !got[i].Secret.Equal(want[i].Secret) || !reflect.DeepEqual(places(got[i]), places(want[i])) {
				t.Fatalf("seed %d:\n%+v\n%v\nwant\n%+v\n%v", seed, got[i].Ref, places(got[i]), want[i].Ref, places(want[i]))
			}
		}
	}
}

func places(c rules.Credential) (out []rules.Location) {
	for _, f := range c.Findings {
		out = append(out, f.Location)
	}
	return out
}
