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
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/files"
)

// recorder is a Sink that calls a function.
type recorder func(report.Event) error

func (r recorder) Emit(e report.Event) error { return r(e) }
func (recorder) Close() error                { return nil }

// testRuntime is one that asks no issuer, of an installation of its own.
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

// pat makes a token up, with the check digits that its form has.
func pat(t testing.TB, random io.Reader) string {
	t.Helper()
	s, err := rules.Generate("ghp"+"_{base62:30}{crc32}", random)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// perLine finds the value of each line of the form token=VALUE, the last one first. The engine
// takes a minute for what some tests need only in number.
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

// seeded is the same stream of bytes for the same number.
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

// attributed is a source that names its findings, and learns late what it knows
// of some of them.
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

// Random findings give the credentials and groups that a plain implementation
// in memory gives.
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

// A field that is added to Finding, Ref or Location is kept in a spilled record.
func TestSpilledFindingsComeBackWhole(t *testing.T) {
	codec, err := newCodec[findingRecord]()
	if err != nil {
		t.Fatal(err)
	}
	var f rules.Finding
	fill(t, reflect.ValueOf(&f).Elem(), "Finding")
	f.Secret = rules.NewSecretString("a secret \xff\x00 that is not UTF-8")
	f.Location.Path = "not UTF-8 \xfe"
	for range 3 {
		b, err := codec.encode(recordOf(f))
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.decode(b)
		if err != nil {
			t.Fatal(err)
		}
		got := r.finding()
		if !got.Secret.Equal(f.Secret) {
			t.Error("the secret is another one")
		}
		got.Secret = f.Secret
		if !reflect.DeepEqual(got, f) {
			t.Errorf("%+v\nwant\n%+v", got, f)
		}
	}
}

// fill sets every field that is reachable to something else than zero.
func fill(t *testing.T, v reflect.Value, at string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		switch v.Addr().Interface().(type) {
		case *rules.Secret:
			return
		case *time.Time:
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				t.Fatalf("%s.%s is not exported: spilled records lose it", at, v.Type().Field(i).Name)
			}
			fill(t, v.Field(i), at+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), at)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), at)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		fill(t, e, at)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), e)
	case reflect.String:
		v.SetString("text of " + at)
	case reflect.Int, reflect.Int64:
		v.SetInt(2)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1.5)
	default:
		t.Fatalf("%s: a %s is not known here", at, v.Kind())
	}
}

func TestACredentialOfVeryManyPlacesKeepsTheFirst(t *testing.T) {
	file := spill.NewFile(t.TempDir())
	defer file.Close()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCollector(set, rules.FingerprintKey{}, file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxPlaces + 50 {
		if err := c.add(finding("jwt", rules.KindJWT, "", "the same", int64(i*100))); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.credentials()
	if err != nil {
		t.Fatal(err)
	}
	for x, err := range list.all() {
		if err != nil || x.Count != maxPlaces+50 || len(x.Findings) != maxPlaces {
			t.Errorf("%d of %d places: %v", len(x.Findings), x.Count, err)
		}
	}
}

// peak is the largest heap in use while f runs, in bytes.
func peak(f func()) uint64 {
	done, out := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			var m goruntime.MemStats
			goruntime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-done:
				out <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	f()
	close(done)
	return <-out
}

// many is a detector that finds something in every eight bytes, and a source of
// one artifact of any size.
type many struct {
	rule     *rules.Rule
	findings int
	distinct int
}

func (many) MaxLen() int { return 64 }

func (m many) Detect(c scanners.Chunk) iter.Seq[scanners.Match] {
	return func(yield func(scanners.Match) bool) {
		for at := (c.From + 7) / 8 * 8; at+8 <= c.To; at += 8 {
			n := (int(c.Offset) + at) / 8 % m.distinct
			s := rules.NewSecretString(fmt.Sprintf("made-up-value-%08d", n))
			if !yield(scanners.Match{Rule: m.rule, Secret: s, Start: at, End: at + 8, Confidence: rules.High}) {
				return
			}
		}
	}
}

func (m many) Open(context.Context) (scanners.Session, error) { return scanners.Of(m.Artifacts), nil }

func (m many) Artifacts(context.Context) iter.Seq2[scanners.Artifact, error] {
	return func(yield func(scanners.Artifact, error) bool) {
		for n := 0; n*findingsOfAFile < m.findings; n++ {
			size := int64(8 * min(findingsOfAFile, m.findings-n*findingsOfAFile))
			a := scanners.Artifact{Location: rules.Location{Source: "path", Path: fmt.Sprintf("many-%d.txt", n)}, Open: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(fmt.Sprintf("%08d", n)), io.LimitReader(letters{}, size-8))), nil
			}}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// findingsOfAFile is so small that no file takes more time than its size justifies.
const findingsOfAFile = 60_000

// listedFindings is how many findings of known secrets one run lists; the others are counted
// (maxFindings of package scanners).
const listedFindings = 300_000

// letters is text without an end.
type letters struct{}

func (letters) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

// heapOfAScan is what a scan may add to the heap, whatever the number of its
// findings, in bytes: three sorts, a window of credentials, chunks, and what the
// garbage collector has not yet freed, which is more on a busy machine.
const heapOfAScan = 256 << 20

// QUELL_LONG=1 runs it with a million findings.
func TestTheMemoryOfAScanDoesNotGrowWithItsFindings(t *testing.T) {
	m := many{rule: &rules.Rule{ID: "made-up", Kind: rules.KindAPIKey}, findings: 60_000, distinct: 300}
	if os.Getenv("QUELL_LONG") != "" {
		m.findings = 1_000_000
	}
	r := testRuntime(t)
	var before goruntime.MemStats
	goruntime.GC()
	goruntime.ReadMemStats(&before)
	found, ended := 0, false
	var res *Scanned
	most := peak(func() {
		var err error
		res, err = r.Scan(t.Context(), ScanOptions{Detector: m, Sources: []scanners.Source{m}, Temp: t.TempDir()}, recorder(func(e report.Event) error {
			switch e.(type) {
			case report.Finding:
				found++
				if ended {
					t.Error("a finding comes after the credentials")
				}
			case report.Credential:
				ended = true
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	})
	if want := min(m.findings, listedFindings); found != want || res.Summary.Credentials != m.distinct {
		t.Errorf("%d findings of %d credentials, want %d of %d", found, res.Summary.Credentials, want, m.distinct)
	}
	if more := res.Summary.Incomplete > 0; more != (m.findings > listedFindings) {
		t.Errorf("%d things were not read", res.Summary.Incomplete)
	}
	t.Logf("%d findings, %d MiB of heap more", found, (most-before.HeapInuse)>>20)
	limit := uint64(heapOfAScan)
	if m.findings > listedFindings {
		limit *= 2 // the places of a full window of credentials
	}
	if most > before.HeapInuse+limit {
		t.Errorf("the heap grew by %d MiB", (most-before.HeapInuse)>>20)
	}
}
