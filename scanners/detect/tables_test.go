package detect

import (
	"bytes"
	"encoding/gob"
	"flag"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/quellhq/quell/rules"
)

var update = flag.Bool("update", false, "write builtin.tables anew")

// The tables in the binary must be those that analysing the built-in rules
// gives: others would not be used, and quell would be slow to start.
func TestTablesAreCurrent(t *testing.T) {
	list := slices.DeleteFunc(slices.Clone(builtin(t).Rules), func(r *rules.Rule) bool { return r.Regex == nil || r.SkipReport })
	got, err := build(list, &tables{}).encode()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("builtin.tables", got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got, builtinTables) {
		t.Error("builtin.tables is not current: run go generate ./scanners/detect")
	}
	stored, exact := load(builtinTables, list)
	if !exact {
		t.Error("builtin.tables can't be read")
	}
	if _, exact := load(builtinTables, list[1:]); exact {
		t.Error("tables of another set are taken")
	}
	// What is taken of them is what analysing anew gives: without some rules, in another
	// order, with one that is not built in and one whose keywords are others.
	other := slices.Clone(list[3:])
	slices.Reverse(other)
	x, err := rules.NewExpression(`acme_[a-z0-9]{20}|(?:zz|yy)top-[0-9]{8}`)
	if err != nil {
		t.Fatal(err)
	}
	other = append(other, &rules.Rule{ID: "acme", Regex: x})
	slow := slices.IndexFunc(other, func(r *rules.Rule) bool { return r.ID == "facebook-access-token" })
	changed := *other[slow]
	changed.Keywords = []string{"another"}
	other[slow] = &changed
	if got, want := build(other, stored), build(other, &tables{}); !reflect.DeepEqual(normal(t, got), normal(t, want)) {
		t.Error("with what is stored the tables are others")
	}
}

// normal is what is left of tables when they were stored: no lists of nothing.
func normal(t *testing.T, x *tables) *tables {
	b, err := x.encode()
	if err != nil {
		t.Fatal(err)
	}
	out := &tables{}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(out); err != nil {
		t.Fatal(err)
	}
	return out
}
