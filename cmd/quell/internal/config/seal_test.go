package config

import (
	"bytes"
	"encoding/base64"
	"testing"

	"filippo.io/age"
)

func TestSealedValues(t *testing.T) {
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := NewSealer([]age.Recipient{mine.Recipient()})
	seen := map[string]bool{}
	for _, text := range []string{"", "a", "a", string(bytes.Repeat([]byte("long"), 100000))} {
		sealed, err := s.Seal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if seen[sealed] {
			t.Error("two values of one text are equal")
		}
		seen[sealed] = true
		if got, err := Open(sealed, mine); err != nil || got.Reveal() != text {
			t.Errorf("%d bytes: %v", len(text), err)
		}
		if _, err := Open(sealed, other); err == nil {
			t.Error("another key opens it")
		}
		b, _ := base64.StdEncoding.DecodeString(sealed)
		for _, at := range []int{0, len(runMark), len(runMark) + 1, len(runMark) + 40, len(s.head), len(s.head) + 10, len(b) - 1} {
			changed := bytes.Clone(b)
			changed[at] ^= 1
			if got, err := Open(base64.StdEncoding.EncodeToString(changed), mine); err == nil && got.Reveal() == text {
				t.Errorf("a changed byte at %d is not noticed", at)
			}
			if _, err := Open(base64.StdEncoding.EncodeToString(b[:at]), mine); err == nil {
				t.Errorf("a value that is cut at %d opens", at)
			}
		}
	}
	old, err := encrypt([]byte("of an earlier release"), []age.Recipient{mine.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(base64.StdEncoding.EncodeToString(old), mine); err != nil || got.Reveal() != "of an earlier release" {
		t.Errorf("an age file: %v", err)
	}
	if _, err := NewSealer(nil).Seal([]byte("x")); err == nil {
		t.Error("sealed to no one")
	}
}

func FuzzOpen(f *testing.F) {
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := NewSealer([]age.Recipient{mine.Recipient()}).Seal([]byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(base64.StdEncoding.EncodeToString([]byte(runMark)))
	f.Fuzz(func(t *testing.T, s string) { _, _ = Open(s, mine) })
}
