// Package house tests rules that all packages must follow together.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// top is the repository's root.
const top = "../../../.."

const module = "github.com/quellhq/quell"

type file struct {
	path string
	ast  *ast.File
}

func sources(t *testing.T) []file {
	t.Helper()
	var out []file
	fset := token.NewFileSet()
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		out = append(out, file{filepath.ToSlash(rel), f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 30 {
		t.Fatalf("only %d files", len(out))
	}
	return out
}

// Dependencies run one way: rules, then scanners and revokers, which never
// import each other, then the command.
func TestDependenciesRunOneWay(t *testing.T) {
	may := map[string][]string{
		"rules":            {"rules/token", "rules/credential", "rules/regex"},
		"rules/credential": {"rules/token"},
		"rules/token":      {"rules/regex"},
		"rules/regex":      {},
		"scanners":         {"rules", "scanners"},
		"revokers":         {"rules", "revokers"},
		"cmd":              {"rules", "scanners", "revokers", "cmd"},
	}
	for _, f := range sources(t) {
		from := strings.Split(f.path, "/")[0]
		for _, leaf := range []string{"rules/token", "rules/credential", "rules/regex"} {
			if strings.HasPrefix(f.path, leaf+"/") {
				from = leaf
			}
		}
		for _, i := range f.ast.Imports {
			rel, ok := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module+"/")
			if !ok {
				continue
			}
			if !slices.ContainsFunc(may[from], func(p string) bool { return rel == p || strings.HasPrefix(rel, p+"/") }) {
				t.Errorf("%s imports %s", f.path, rel)
			}
		}
	}
}

// Reveal is the only way to read a Secret: only these files may call it.
var mayReveal = []string{
	"cmd/quell/internal/allow/ignore.go",         // the digest in a baseline of detect-secrets
	"cmd/quell/internal/cli/import.go",           // compares with another scanner's value
	"cmd/quell/internal/notify/notify.go",        // an address
	"cmd/quell/internal/notify/message.go",       // the key of a signature
	"cmd/quell/internal/redact/redact.go",        // redacts
	"cmd/quell/internal/run/own.go",              // compares with the operator's own credentials
	"cmd/quell/internal/run/codec.go",            // writes sealed files
	"cmd/quell/internal/run/events.go",           // --reveal
	"cmd/quell/internal/run/window.go",           // --reveal
	"cmd/quell/internal/run/seal.go",             // seals
	"cmd/quell/internal/serve/people.go",         // the keyed digest of login tokens
	"cmd/quell/internal/serve/web/oidc.go",       // the client's secret
	"cmd/quell/internal/serve/webhook/verify.go", // the key of a signature
	"cmd/quell/internal/rulestest/accept.go",     // made-up examples
	"revokers/aws/call.go",                       // signs
	"revokers/aws/cognito.go",                    // the issuer of a JWT
	"revokers/bind.go",                           // a JWT's issuer
	"revokers/gcp/key.go",                        // signs
	"revokers/guard/own.go",                      // compares encodings
	"revokers/interp/logout.go",
	"revokers/interp/vars.go",
	"revokers/issuer/proxy.go", // an address
	"revokers/kubernetes/token.go",
	"revokers/oauth/jwt.go",
	"revokers/oauth/oauth.go",
	"revokers/honeytoken.go", // an account id
	"revokers/rows/rows.go",
	"revokers/offline.go", // check digits
	"revokers/postgres/postgres.go",
	"revokers/stores/github.go",
	"revokers/vault/approle.go",
	"revokers/vault/auditlog.go",
	"revokers/vault/client.go",
	"revokers/vault/ends.go",
	"revokers/vault/kv.go",
	"revokers/vault/login.go",
	"revokers/vault/managed.go",
	"revokers/vault/reissue.go",
	"revokers/vault/token.go",
	"rules/credential/secret.go",
	"scanners/ci/auth.go", // the header of a request
	"rules/generate.go",
}

func TestRevealIsCalledInFewFiles(t *testing.T) {
	used := map[string]bool{}
	for _, f := range sources(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Reveal" {
				used[f.path] = true
			}
			return true
		})
	}
	for p := range used {
		if !slices.Contains(mayReveal, p) {
			t.Errorf("%s calls Reveal", p)
		}
	}
	for _, p := range mayReveal {
		if !used[p] && p != "cmd/quell/internal/cli/check.go" {
			t.Errorf("%s is listed and does not call Reveal", p)
		}
	}
}

// No init, and no package variable that is changed after its declaration.
func TestNoPackageState(t *testing.T) {
	for _, f := range sources(t) {
		vars := map[string]bool{}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					t.Errorf("%s has an init", f.path)
				}
			case *ast.GenDecl:
				if d.Tok != token.VAR {
					continue
				}
				for _, s := range d.Specs {
					for _, n := range s.(*ast.ValueSpec).Names {
						vars[n.Name] = true
					}
				}
			}
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				a, ok := n.(*ast.AssignStmt)
				if !ok || a.Tok == token.DEFINE {
					return true
				}
				for _, l := range a.Lhs {
					if x, ok := l.(*ast.IndexExpr); ok {
						l = x.X
					}
					// An identifier without an object of its own file is the package's.
					if id, ok := l.(*ast.Ident); ok && vars[id.Name] && (id.Obj == nil || id.Obj.Kind == ast.Var && isPackage(id.Obj)) {
						t.Errorf("%s: %s changes the package variable %s", f.path, fn.Name.Name, id.Name)
					}
				}
				return true
			})
		}
	}
}

//lint:ignore SA1019 the parser alone, without types, is fast, and only names of one file are resolved
func isPackage(o *ast.Object) bool {
	s, ok := o.Decl.(*ast.ValueSpec)
	return ok && s != nil
}

// doubles are servers for tests, and the code that checks them against their contracts. They
// are outside of test files, since several packages use them.
var doubles = []string{"scanners/github/githubtest", "scanners/ci/citest", "scanners/contracttest", "rules/testenv"}

// The product never starts a program, and contains no double.
func TestNothingIsExecuted(t *testing.T) {
	for _, f := range sources(t) {
		if slices.ContainsFunc(doubles, func(d string) bool { return strings.HasPrefix(f.path, d+"/") }) {
			continue
		}
		for _, i := range f.ast.Imports {
			if p := strings.Trim(i.Path.Value, `"`); p == "os/exec" || p == "plugin" || p == "testing" && !strings.HasPrefix(f.path, "cmd/quell/internal/rulestest/") || slices.Contains(doubles, strings.TrimPrefix(p, module+"/")) {
				t.Errorf("%s imports %s", f.path, p)
			}
		}
	}
}

func TestTopLevelIsAsAgreed(t *testing.T) {
	agreed := []string{"cmd", "scanners", "revokers", "rules", "testdata", "action.yml", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "bin", "dist", "quell"}
	list, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(agreed, e.Name()) {
			t.Errorf("%s is at the top level", e.Name())
		}
	}
}
