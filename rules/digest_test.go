package rules

import "testing"

func TestDigestsOfSetsDiffer(t *testing.T) {
	a, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	b, err := readBuiltin()
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest() != b.Digest() {
		t.Error("the same rules, read twice, differ")
	}
	if err := b.NameCookie("express", "acme.sid"); err != nil {
		t.Fatal(err)
	}
	if a.Digest() == b.Digest() {
		t.Error("one cookie more is the same")
	}
}
