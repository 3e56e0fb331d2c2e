package detect

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// The findings in a Secret are the decoded values, at the positions of the encoded ones. A
// value of words has low confidence, and a value that is not base64 of text stays as it is.
func TestSecretsOfKubernetes(t *testing.T) {
	e := New(builtin(t))
	std := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	pat := "ghp_" + "4u8Vq2nX7cZr5tKy1mWb9sLd3fHg6j" + "0NfEcl"
	text := "apiVersion: v1\nkind: Secret\nmetadata:\n  name: app\ndata:\n  session: " + std("q7Rk2mVx9TzLw4Np8HsYb3Gd6FjCa1Ue") + "\n  username: " + std("administrator") +
		"\n  password: \"" + std("Zk9#pQ2!vLm7$wXr") + "\"\n  marked: " + std("Hy6Tg3Rf8Vb2Nm5K") + " # quell:allow\n  short: " + std("abc") + "\ntype: Opaque\n---\nkind: ConfigMap\ndata:\n  x: " + std("Wq8Er5Ty2Ui9Op4A") + "\n"
	find := func(text string) map[string]scanners.Match {
		out := map[string]scanners.Match{}
		a := &scanners.Artifact{Location: rules.Location{Path: "secret.yaml"}}
		for m := range e.Detect(scanners.Chunk{Artifact: a, Data: []byte(text), Line: 1, Column: 1, To: len(text)}) {
			if m.Rule.ID == kubernetesSecret {
				out[m.Secret.Reveal()] = m
			}
		}
		return out
	}
	got := find(text)
	for secret, want := range map[string]struct {
		confidence rules.Confidence
		allowed    bool
	}{
		"q7Rk2mVx9TzLw4Np8HsYb3Gd6FjCa1Ue": {rules.High, false},
		"administrator":                    {rules.Low, false},
		"Zk9#pQ2!vLm7$wXr":                 {rules.High, false},
		"Hy6Tg3Rf8Vb2Nm5K":                 {rules.High, true},
	} {
		m, ok := got[secret]
		if !ok || m.Confidence != want.confidence || m.Allowed != want.allowed || text[m.Start:m.End] != std(secret) || strings.Join(m.Decoded, " ") != "base64" {
			t.Errorf("%s: %v %+v", secret, ok, m)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d values", len(got))
	}
	if got := find("kind: Secret\ndata:\n  key: " + base64.StdEncoding.EncodeToString([]byte{1, 2, 0xff, 0x80, 0x90, 7, 8, 9, 10, 11, 12, 200}) + "\n"); len(got) != 1 {
		t.Errorf("bytes: %v", got)
	}
	// A token with a format of its own is reported by that format's rule.
	if got := find("kind: Secret\ndata:\n  token: " + std(pat) + "\n"); len(got) > 1 {
		t.Errorf("%v", got)
	}
}
