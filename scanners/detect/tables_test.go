package detect

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/quellhq/quell/rules"
)

var update = flag.Bool("update", false, "write builtin.tables anew")

// The tables in the binary must be those that analysing the built-in rules
// gives: others would not be used, and quell would be slow to start.
func TestTablesAreCurrent(t *testing.T) {
	list := slices.DeleteFunc(slices.Clone(builtin(t).Rules), func(r *rules.Rule) bool { return r.Regex == nil || r.SkipReport })
	got, err := build(list).encode()
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
	if _, ok := load(builtinTables, list); !ok {
		t.Error("builtin.tables can't be read")
	}
	if _, ok := load(builtinTables, list[1:]); ok {
		t.Error("tables of another set are taken")
	}
}
