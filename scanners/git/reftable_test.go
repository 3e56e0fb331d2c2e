package git

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// git 2.47 wrote testdata/reftable: 300 branches, one of them deleted; a branch that was
// created and deleted; an annotated tag; two commits.
func TestReftable(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"objects", "reftable"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir("testdata/reftable")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("testdata/reftable", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "reftable", f.Name()), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/.invalid\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := openRepository(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	by := map[string]string{}
	for _, x := range r.refs() {
		by[x.name] = x.id.String()
	}
	one, two := "a53e31284f0f336f075b012c938eb42a3bfb70bf", "b511578a45a9fddd8d5fdc415177f610442a2064"
	for i := 1; i <= 300; i++ {
		name := fmt.Sprintf("refs/heads/topic/number-%d", i)
		if want := map[bool]string{false: one}[i == 7]; by[name] != want {
			t.Errorf("%s is %q, not %q", name, by[name], want)
		}
	}
	for name, want := range map[string]string{"refs/heads/main": two, "HEAD": two, "refs/heads/noted": "", "refs/tags/v1": "86bd77521b98af2b14e8f083354e72d4c7ae069e"} {
		if by[name] != want {
			t.Errorf("%s is %q, not %q", name, by[name], want)
		}
	}
	if i, ok := r.head(); !ok || i.String() != two {
		t.Errorf("HEAD: %v", i)
	}
	var main []string
	for _, e := range r.reflogs() {
		if strings.HasPrefix(e.name, "refs/heads/main@") {
			main = append(main, e.name+" "+e.id.String())
		}
	}
	if want := []string{"refs/heads/main@{0} " + two, "refs/heads/main@{1} " + one}; fmt.Sprint(main) != fmt.Sprint(want) {
		t.Errorf("%q", main)
	}
	// With any one byte damaged it is read or rejected, and never causes a panic.
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("testdata/reftable", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for k := range b {
			b[k] ^= 0xff
			x := table{refs: map[string]id{}, syms: map[string]string{}}
			_ = x.read(b)
			b[k] ^= 0xff
		}
		for k := range b {
			x := table{refs: map[string]id{}, syms: map[string]string{}}
			_ = x.read(b[:k])
		}
	}
}
