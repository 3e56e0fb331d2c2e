package credential

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// leak was never issued; its parts are joined at run time.
var leak = strings.Join([]string{"leak", "ed-", "0123456789", "abcdef"}, "")

type nest struct {
	Open   Secret
	Ptr    *Secret
	List   []Secret
	Map    map[string]Secret
	Any    any
	hidden Secret
	inner  struct{ deep Secret }
	hptr   *Secret
	hlist  []Secret
	hmap   map[string]Secret
	hany   any
}

func nested() nest {
	s := NewSecretString(leak)
	n := nest{Open: s, Ptr: &s, List: []Secret{s}, Map: map[string]Secret{"k": s}, Any: s, hidden: s, hptr: &s, hlist: []Secret{s}, hmap: map[string]Secret{"k": s}, hany: s}
	n.inner.deep = s
	return n
}

// leaks reports whether the output contains the secret as text, hex or byte numbers.
func leaks(out string) bool {
	hex := fmt.Sprintf("%x", leak)
	dec := strings.Trim(fmt.Sprint([]byte(leak)), "[]")
	return strings.Contains(out, leak) || strings.Contains(strings.ToLower(out), hex) ||
		strings.Contains(out, dec) || strings.Contains(out, fmt.Sprintf("%#v", []byte(leak))[7:60])
}

func TestSecretNeverPrints(t *testing.T) {
	s := NewSecretString(leak)
	n := nested()
	values := map[string]any{"secret": s, "pointer": &s, "nested": n, "nested pointer": &n, "slice": []Secret{s}, "map": map[string]any{"a": s},
		"finding": Finding{Secret: s}, "credential": Credential{Secret: s, Findings: []Finding{{Secret: s}}},
		"error": fmt.Errorf("op: %w", errors.Join(fmt.Errorf("bad %v", s), fmt.Errorf("bad %+v", n)))}
	for name, v := range values {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", " ", "0", "-", "60", ".3", "+#"} {
				out := fmt.Sprintf("%"+flag+string(verb), v)
				if leaks(out) {
					t.Errorf("%s with %%%s%c prints the secret: %s", name, flag, verb, out)
				}
			}
		}
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).With("v", v).Error(fmt.Sprint(v), "v", v, slog.Group("g", "v", v))
		}
		if j, err := json.Marshal(v); err == nil {
			b.Write(j)
		}
		if x, err := xml.Marshal(v); err == nil {
			b.Write(x)
		}
		_ = gob.NewEncoder(&b).Encode(v)
		func() {
			defer func() { fmt.Fprint(&b, recover()) }()
			panic(v)
		}()
		if leaks(b.String()) {
			t.Errorf("%s leaks through a handler, an encoder or a panic: %s", name, b.String())
		}
	}
}

func TestTheLeakCheckSeesALeak(t *testing.T) {
	for _, out := range []string{fmt.Sprint(leak), fmt.Sprintf("%x", leak), fmt.Sprint([]byte(leak)), fmt.Sprintf("%#v", []byte(leak)), fmt.Sprintf("%X", leak)} {
		if !leaks(out) {
			t.Errorf("not seen: %s", out)
		}
	}
}

func TestHintShowsAtMostAFifth(t *testing.T) {
	for n := range 60 {
		s := NewSecretString(strings.Repeat("x", n))
		if got := strings.Count(s.Hint(), "x"); got > 4 || got*5 > n {
			t.Errorf("a secret of %d bytes shows %d", n, got)
		}
	}
}

func TestFingerprintDependsOnTheKey(t *testing.T) {
	a, b := FingerprintKey{1}, FingerprintKey{2}
	s := NewSecretString(leak)
	if a.Fingerprint(s) == b.Fingerprint(s) || a.Fingerprint(s) != a.Fingerprint(NewSecretString(leak)) || len(a.Fingerprint(s)) != 32 {
		t.Error("a fingerprint is a keyed function of the secret, 32 digits long")
	}
	if strings.Contains(fmt.Sprintf("%v %+v %x %s", a, a, a, a), "1 0 0") {
		t.Error("the key prints")
	}
}

func TestWipeReachesEveryCopy(t *testing.T) {
	s := NewSecretString(leak)
	c := s
	s.Wipe()
	if c.Reveal() == leak {
		t.Error("a copy still holds the bytes")
	}
}
