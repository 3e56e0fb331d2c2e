package serve

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/rules"
)

// A later find by a rule that knows less, or without the part of a pair, keeps the form that an
// issuer can be asked about; a better one replaces it. What is live or was ended stays.
func TestTheAskableFormIsKept(t *testing.T) {
	s, err := store.Open(t.Context(), t.TempDir()+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := map[string]string{"secret": "p1"}
	full := rules.Ref{Rule: "aws", Provider: "aws", Confidence: rules.High, PartFingerprints: id}
	part := rules.Ref{Rule: "aws", Provider: "aws", Confidence: rules.High}
	generic := rules.Ref{Rule: "generic", Confidence: rules.High}
	other := full
	other.PartFingerprints = map[string]string{"secret": "p2"}
	find := func(fp string, r rules.Ref) store.Credential {
		t.Helper()
		text, _ := json.Marshal(r)
		c := store.Credential{Fingerprint: fp, Rule: r.Rule, Provider: r.Provider, Ref: string(text), Sealed: string(text)}
		if err := s.Update(t.Context(), func(tx *store.Tx) error {
			_, _, err := tx.Found(c, []string{"x"}, time.Now(), func(b store.Credential) bool { return better(r, b) })
			return err
		}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Credential(t.Context(), fp)
		if err != nil || got.Ref != got.Sealed || got.Provider != r.Provider && got.Ref == string(text) {
			t.Fatalf("%+v %v", got, err)
		}
		return got
	}
	verdict := func(fp, state string) {
		t.Helper()
		if err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.Verdict(fp, state, "", "", "", time.Now()) }); err != nil {
			t.Fatal(err)
		}
	}
	text := func(r rules.Ref) string { b, _ := json.Marshal(r); return string(b) }
	for name, c := range map[string]struct {
		first, then rules.Ref
		state       string
		replaced    bool
	}{
		"without its part":                     {full, part, "", false},
		"by a generic rule":                    {part, generic, "unknown", false},
		"with its part":                        {part, full, "unknown", true},
		"by a rule of a provider":              {generic, part, "", true},
		"with another part, not probed yet":    {full, other, "", false},
		"with another part, the first is dead": {full, other, "dead", true},
		"with its part, live already":          {part, full, "live", false},
	} {
		find(name, c.first)
		if c.state != "" {
			verdict(name, c.state)
		}
		want := text(c.first)
		if c.replaced {
			want = text(c.then)
		}
		if got := find(name, c.then); got.Ref != want {
			t.Errorf("%s: %s", name, got.Ref)
		}
	}
}
