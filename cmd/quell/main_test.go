package main

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// commands are the programs that tests can start by their names.
var commands = map[string]func(){"quell": main}

func TestMain(m *testing.M) {
	testscript.Main(m, commands)
}

// Scripts of the command line. They run without a network: tests that need an
// issuer are in internal/realtest.
func TestScripts(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, ".state"))
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, ".config"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exits CODE ARGS… runs quell and requires exactly that exit code.
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec("quell", args[1:]...)
				got := "0"
				if err != nil {
					got = strings.TrimPrefix(err.Error(), "exit status ")
				}
				if got != args[0] {
					ts.Fatalf("quell %s ended with %s, not %s", strings.Join(args[1:], " "), got, args[0])
				}
			},
			// validlines FILE requires that docs/report.schema.json describes each line.
			"validlines": func(ts *testscript.TestScript, neg bool, args []string) {
				lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n")
				for _, line := range lines {
					doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
					ts.Check(err)
					ts.Check(schema.Validate(doc))
				}
			},
			// makezip FILE NAME=SOURCE… packs files.
			"makezip": func(ts *testscript.TestScript, neg bool, args []string) {
				f, err := os.Create(ts.MkAbs(args[0]))
				ts.Check(err)
				z := zip.NewWriter(f)
				for _, a := range args[1:] {
					name, source, _ := strings.Cut(a, "=")
					w, err := z.Create(name)
					ts.Check(err)
					_, err = w.Write([]byte(ts.ReadFile(source)))
					ts.Check(err)
				}
				ts.Check(z.Close())
				ts.Check(f.Close())
			},
			// truncate FILE BYTES cuts a file.
			"truncate": func(ts *testscript.TestScript, neg bool, args []string) {
				var n int64
				_, err := fmt.Sscan(args[1], &n)
				ts.Check(err)
				ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
			},
			// escape FILE turns \x1b and the like into the bytes they mean.
			"escape": func(ts *testscript.TestScript, neg bool, args []string) {
				text := strings.NewReplacer(`\x1b`, "\x1b", `\r`, "\r", `\x00`, "\x00", `\xef\xbb\xbf`, "\ufeff").Replace(ts.ReadFile(args[0]))
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
			},
		},
	})
}
