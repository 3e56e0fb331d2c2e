package ledger

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAnotherInstallationIsListedByAListedOne(t *testing.T) {
	a, path := open(t)
	add(t, a, entriesOf("a1")...) // 1 to 5
	b, c := openAs(t, path, "two"), openAs(t, path, "three")
	add(t, b, entriesOf("b1")...) // its request is 6

	// In a file on one machine, a listed installation reports another one.
	r, err := a.Verify(t.Context(), nil)
	if err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{Unlisted}) || r.Problems[0].Entry != 6 || r.Problems[0].Last != 10 || r.Proven != 5 {
		t.Fatalf("%+v %v", r, err)
	}
	for l, proven := range map[*Ledger]int64{b: 10, c: 5} {
		if r, err := l.Verify(t.Context(), nil); err != nil || !r.OK() || r.Proven != proven {
			t.Errorf("%+v %v", r, err)
		}
	}
	if err := c.Admit(t.Context(), "somebody", b.PublicKey(), "a second worker"); err == nil {
		t.Error("an installation that is not listed admitted another one")
	}
	if err := a.Admit(t.Context(), "somebody", "AAAA", "a second worker"); err == nil {
		t.Error("a text was admitted")
	}
	for range 2 {
		if err := a.Admit(t.Context(), "somebody", b.PublicKey(), "a second worker"); err != nil {
			t.Fatal(err)
		}
	}
	add(t, b, entriesOf("b2")...)
	list, err := a.Installations(t.Context())
	if err != nil || len(list) != 2 || !list[0].Self || !list[0].Listed || list[1].Self || !list[1].Listed {
		t.Errorf("%+v %v", list, err)
	}
	// The entries that b wrote before stay marked; those since then verify at every installation.
	r, err = c.Verify(t.Context(), nil)
	if err != nil || !r.OK() || r.Proven != r.Last || len(r.Unlisted) != 1 || r.Unlisted[0].Last != 10 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := a.Accept(t.Context(), "somebody", "b is ours"); err != nil {
		t.Fatal(err)
	}
	add(t, b, entriesOf("b3")...)
	whole(t, a)
}

func TestAnInstallationMayBeListedBeforeItsFirstAppend(t *testing.T) {
	a, path := open(t)
	add(t, a, entriesOf("a1")...)
	b, err := Open(t.Context(), filepath.Join(t.TempDir(), "other.db"), Options{Key: testKey("two")})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Admit(t.Context(), "somebody", b.PublicKey(), "a second worker"); err != nil {
		t.Fatal(err)
	}
	// b opens the ledger on a machine without a checkpoint file.
	_ = b.db.Close()
	b.db, b.file = a.db, headFile(path+".of-b")
	whole(t, b)
	add(t, b, entriesOf("b1")...)
	if r := whole(t, b); len(r.Unlisted) != 0 {
		t.Errorf("%+v", r)
	}
	whole(t, a)
	if err := os.Remove(string(b.file)); err != nil {
		t.Fatal(err)
	}
	if r, err := b.Verify(t.Context(), nil); err != nil || !slices.Equal(kinds(r.Problems), []ProblemKind{HeadMissing}) {
		t.Errorf("%+v %v", r, err)
	}
}

func TestWhichKeyEntriesCount(t *testing.T) {
	one, two, three := testKey("one"), testKey("two"), testKey("three")
	name := func(k string) string { return (&Ledger{key: testKey(k)}).PublicKey() }
	damaged := newKey(name("two"), one, "")
	damaged.Signature = base64.StdEncoding.EncodeToString(make([]byte, 64))
	moved := newKey(name("two"), one, "")
	moved.PublicKey = name("three")
	for _, c := range []struct {
		name   string
		keys   []Key
		fails  int // the index of the one that is refused, or -1
		listed map[string]bool
	}{
		{"the first signs itself", []Key{newKey(name("one"), one, "")}, -1, map[string]bool{"one": true}},
		{"the first is signed by another", []Key{newKey(name("two"), one, "")}, 0, nil},
		{"a listed key admits another", []Key{newKey(name("one"), one, ""), newKey(name("two"), one, "")}, -1, map[string]bool{"one": true, "two": true}},
		{"an admitted key admits a third", []Key{newKey(name("one"), one, ""), newKey(name("two"), one, ""), newKey(name("three"), two, "")}, -1, map[string]bool{"three": true}},
		{"a second key that signs itself is a request", []Key{newKey(name("one"), one, ""), newKey(name("two"), two, "")}, -1, map[string]bool{"two": false}},
		{"a request admits no key", []Key{newKey(name("one"), one, ""), newKey(name("two"), two, ""), newKey(name("three"), two, "")}, 2, map[string]bool{"three": false}},
		{"an unlisted key admits no key", []Key{newKey(name("one"), one, ""), newKey(name("two"), three, "")}, 1, map[string]bool{"two": false}},
		{"a request is admitted later", []Key{newKey(name("one"), one, ""), newKey(name("two"), two, ""), newKey(name("two"), one, "")}, -1, map[string]bool{"two": true}},
		{"a listed key that signs itself again stays listed", []Key{newKey(name("one"), one, ""), newKey(name("one"), one, "")}, -1, map[string]bool{"one": true}},
		{"a damaged signature", []Key{newKey(name("one"), one, ""), damaged}, 1, map[string]bool{"two": false}},
		{"a signature for another key", []Key{newKey(name("one"), one, ""), moved}, 1, map[string]bool{"three": false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r keyring
			for i, k := range c.keys {
				if err := r.add(k); (err != nil) != (i == c.fails) {
					t.Errorf("key %d: %v", i, err)
				}
			}
			for k, want := range c.listed {
				if r.listed[name(k)] != want {
					t.Errorf("%s is listed: %v", k, !want)
				}
			}
		})
	}
}
