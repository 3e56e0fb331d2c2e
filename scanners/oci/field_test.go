package oci

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestFieldAt(t *testing.T) {
	doc := `{"architecture":"amd64", "config": {"Env":["PATH=/bin","T=HERE1"],"Labels":{"org.x/y":"HERE2","k3y":"HERE3"},"Healthcheck":{"Test":["CMD",["HERE4"]]},"User":"HERE5"},
	"history":[{"created_by":"x"},{"created_by":"HERE6","n":[1,2,{"HERE7":null}]}],"x":[[],{},"HERE8"],"n":12345}`
	for place, want := range map[string]string{
		"HERE1": "config.Env[1]", "HERE2": `config.Labels["org.x/y"]`, "HERE3": "config.Labels[\u2026]", "HERE4": "config.Healthcheck.Test[1][0]", "HERE5": "config.User",
		"HERE6": "history[1].created_by", "HERE7": "history[1].n[2]", "HERE8": "x[2]", "amd64": "architecture", "12345": "n",
	} {
		if got := fieldAt([]byte(doc), int64(strings.Index(doc, place))); got != want {
			t.Errorf("%s: %q, not %q", place, got, want)
		}
	}
	for _, bad := range []string{"", "{", "no document", `["a" "b"]`, `"a"`, doc[:100], "{}", "[[[[", strings.Repeat("[", 20000)} {
		if got := fieldAt([]byte(bad), 1<<20); got != "" {
			t.Errorf("%.20q: %q", bad, got)
		}
	}
	if got := fieldAt([]byte(`["HERE"]`), 2); got != "[0]" {
		t.Errorf("%q", got)
	}
}

// In any document, a path leads to its field. A key with digits is not quoted.
func FuzzFieldAt(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,"x",{"c":true}]}}`), int64(14))
	f.Add([]byte(`{"ghp_0123":"x"}`), int64(12))
	f.Fuzz(func(t *testing.T, raw []byte, at int64) {
		got := fieldAt(raw, at)
		if got != "" && json.Valid(raw) && (at < 0 || at >= int64(len(raw))) && at >= 0 {
			t.Errorf("%q behind the end", got)
		}
	})
}
