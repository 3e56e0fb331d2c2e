package plan

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// Every field of an item changes the digest that people approve, but those that are listed.
func TestDigestCoversWhatIsSent(t *testing.T) {
	free := map[string]string{
		"Exposures": "more places change nothing of what is sent", "Verdict": "it is asked again", "Seen": "the same", "Captures": "requests have them",
		"Batch": "requests name their credentials", "Settle": "a time between looks", "Least": "advice", "Sealed": "it is sealed anew each time; the fingerprint names it",
	}
	of := func(p *Plan) string {
		d, err := p.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	plain := of(&Plan{Items: []Item{{}}})
	set := map[string]any{
		"Hold": &policy.Hold{Reason: "x"}, "Requests": []revokers.Effect{{Method: "POST", URL: "https://a.example", Header: map[string]string{"X-Vault-Namespace": "a"}}},
		"Rotate": &Rotate{Vault: "x"}, "Managed": []string{"x"}, "Reversible": true,
	}
	typ := reflect.TypeFor[Item]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if free[f.Name] != "" {
			continue
		}
		p := &Plan{Items: []Item{{}}}
		v := reflect.ValueOf(&p.Items[0]).Elem().Field(i)
		switch {
		case f.Name == "Ref":
			p.Items[0].Ref = rules.Ref{Fingerprint: "x"}
		case set[f.Name] != nil:
			v.Set(reflect.ValueOf(set[f.Name]))
		case v.Kind() == reflect.String:
			v.SetString("x")
		default:
			t.Errorf("%s: this test sets it to nothing", f.Name)
		}
		if of(p) == plain {
			t.Errorf("%s is not in the digest", f.Name)
		}
	}
	for name, change := range map[string]func(e *revokers.Effect){
		"method": func(e *revokers.Effect) { e.Method = "PUT" }, "host": func(e *revokers.Effect) { e.URL = "https://b.example" }, "header": func(e *revokers.Effect) { e.Header = map[string]string{"A": "b"} },
		"body": func(e *revokers.Effect) { e.Body = json.RawMessage(`"x"`) }, "credentials": func(e *revokers.Effect) { e.Elements = []string{"x"} },
	} {
		p := &Plan{Items: []Item{{Requests: []revokers.Effect{{Method: "POST", URL: "https://a.example"}}}}}
		before := of(p)
		change(&p.Items[0].Requests[0])
		if of(p) == before {
			t.Errorf("the %s of a request is not in the digest", name)
		}
	}
	if of(&Plan{Items: []Item{{}}, Deletions: []Deletion{{URL: "x"}}}) == plain || of(&Plan{Items: []Item{{}}, BreakGlass: "x"}) == plain || of(&Plan{Items: []Item{{}, {}}}) == plain {
		t.Error("a deletion, a reason or a second item is not in the digest")
	}
	if of(&Plan{Items: []Item{{}}, Created: time.Now()}) != plain {
		t.Error("the time is in the digest: no approval would count for the plan that is made before the kill")
	}
}
