package notify

import (
	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/rules"

	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const path = "/services/T000/B000/made-up-path-of-a-hook"

func TestAddresses(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"HOOK": "https://hooks.example.com" + path, "BAD": "http://hooks.example.com" + path}[name]
	}
	for _, c := range []struct {
		name, entry, host string
	}{
		{"https", "https://hooks.example.com" + path, "hooks.example.com"},
		{"http to this machine", "http://127.0.0.1:8080" + path, "127.0.0.1:8080"},
		{"a variable", "env:HOOK", "hooks.example.com"},
		{"http to another machine", "http://hooks.example.com" + path, ""},
		{"a variable with http", "env:BAD", ""},
		{"a variable that is not set", "env:NONE", ""},
		{"a user in the address", "https://u:made-up-password@hooks.example.com" + path, ""},
		{"another scheme", "ftp://hooks.example.com" + path, ""},
		{"no host", "https://" + path, ""},
		{"no URL", "made-up-path-of-a-hook\x7f", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := Read(c.entry, func(ref string) (rules.Secret, error) { return config.ReadSecret(ref, env) })
			if (err == nil) != (c.host != "") || h.String() != c.host {
				t.Errorf("%v %v", h, err)
			}
			if text := fmt.Sprintf("%v %+v %#v %s %v", h, h, h, h, err); strings.Contains(text, "made-up") {
				t.Errorf("the secret part is printed: %s", text)
			}
		})
	}
}

func TestSend(t *testing.T) {
	var got []string
	status := 200
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var m map[string]string
		if r.Method != "POST" || r.URL.Path != path || r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(b, &m) != nil || len(m) != 1 {
			t.Errorf("%s %s %s", r.Method, r.URL, b)
		}
		got = append(got, m["text"])
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	h, err := Parse(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Send(t.Context(), "a \"text\"\n<b>"); err != nil || len(got) != 1 || got[0] != "a \"text\"\n‹b›" {
		t.Errorf("%q %v", got, err)
	}
	for _, status = range []int{302, 404, 500} {
		if err := h.Send(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || strings.Contains(err.Error(), "made-up") {
			t.Errorf("%d: %v", status, err)
		}
	}
	s.Close()
	if err := h.Send(t.Context(), "x"); err == nil || strings.Contains(err.Error(), "made-up") {
		t.Error(err)
	}
	if len(h.Secrets()) == 0 {
		t.Error("the redactor learns nothing")
	}
}
