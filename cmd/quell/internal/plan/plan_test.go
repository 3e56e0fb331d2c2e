package plan

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

func TestAChangedOrOldPlanIsRefused(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}
	now := time.Now().UTC()
	file, err := Sign(&Plan{Version: 1, Created: now, Items: []Item{{Ref: rules.Ref{Fingerprint: "f", Redacted: "a<b>&…"}, Action: ActHeld}}}, key)
	if err != nil {
		t.Fatal(err)
	}
	p, id, err := Verify(file, mine, now)
	if err != nil || p.Items[0].Redacted != "a<b>&…" || len(id) != 16 {
		t.Fatal(err, id)
	}
	if own, err := p.ID(); err != nil || own != id {
		t.Errorf("the plan's own id is %s, that of its file %s: %v", own, id, err)
	}
	if _, again, _ := Verify(append([]byte("  "), file...), mine, now); again != id {
		t.Error("the id depends on white space")
	}
	// Flip each byte: Verify must not accept changed content.
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1
		if q, _, err := Verify(bad, mine, now); err == nil && (q.Items[0].Action != ActHeld || q.Items[0].Fingerprint != "f") {
			t.Fatalf("byte %d was changed and the plan says %+v", i, q.Items[0])
		}
	}
	other, _, _ := ed25519.GenerateKey(nil)
	for name, c := range map[string]struct {
		file  []byte
		trust []ed25519.PublicKey
		now   time.Time
		want  error
	}{
		"another action":    {bytes.Replace(file, []byte(`"held"`), []byte(`"none"`), 1), mine, now, ErrChanged},
		"an unknown signer": {file, []ed25519.PublicKey{other}, now, ErrSigner},
		"from the future":   {file, mine, now.Add(-time.Hour), ErrFuture},
	} {
		if _, _, err := Verify(c.file, c.trust, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
