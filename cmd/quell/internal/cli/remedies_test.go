package cli

import (
	"bytes"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/policy"
	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/rules"
)

// remedyFuncs are the functions that make remedies; holds takes one as its third
// argument after the item.
var remedyFuncs = regexp.MustCompile(`(?i)remed(y|ies)(for)?$`)

// remediesOf lists the literals of which the sources make remedies, by place.
func remediesOf(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	root := filepath.Join("..", "..", "..", "..")
	for _, dir := range []string{"revokers", filepath.Join("cmd", "quell", "internal")} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := gotoken.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			add := func(e ast.Expr) {
				if list := literals(e); len(list) > 0 {
					at := set.Position(e.Pos())
					out[strings.TrimPrefix(at.Filename, root+"/")+":"+strconv.Itoa(at.Line)] = list
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					if remedyFuncs.MatchString(n.Name.Name) {
						ast.Inspect(n.Body, func(m ast.Node) bool {
							if r, ok := m.(*ast.ReturnStmt); ok {
								for _, e := range r.Results {
									add(e)
								}
							}
							return true
						})
					}
				case *ast.CompositeLit:
					name := ""
					switch x := n.Type.(type) {
					case *ast.Ident:
						name = x.Name
					case *ast.SelectorExpr:
						name = x.Sel.Name
					}
					for i, e := range n.Elts {
						kv, ok := e.(*ast.KeyValueExpr)
						if ok {
							if k, ok := kv.Key.(*ast.Ident); ok && k.Name == "Remedy" {
								add(kv.Value)
							}
						} else if (name == "Hold" || name == "heldFor") && i == 1 {
							add(e)
						}
					}
				case *ast.AssignStmt:
					for i, l := range n.Lhs {
						field := ""
						switch x := l.(type) {
						case *ast.SelectorExpr:
							field = x.Sel.Name
						case *ast.Ident:
							field = x.Name
						}
						if strings.EqualFold(field, "remedy") && len(n.Rhs) == len(n.Lhs) {
							add(n.Rhs[i])
						}
					}
				case *ast.CallExpr:
					switch x := n.Fun.(type) {
					case *ast.SelectorExpr:
						if x.Sel.Name == "hold" && len(n.Args) == 5 {
							add(n.Args[3])
						}
					case *ast.Ident:
						if x.Name == "unknown" && len(n.Args) == 3 {
							add(n.Args[2])
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// literals are the strings of an expression.
func literals(e ast.Expr) []string {
	var out []string
	ast.Inspect(e, func(n ast.Node) bool {
		if b, ok := n.(*ast.BasicLit); ok && b.Kind == gotoken.STRING {
			if s, err := strconv.Unquote(b.Value); err == nil {
				out = append(out, s)
			}
		}
		return true
	})
	return out
}

// keysOf lists the keys of a policy: name, and table.name for those of a table.
func keysOf(t reflect.Type, out map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ",")
		if name == "" {
			continue
		}
		out[name] = true
		inner := map[string]bool{}
		keysOf(t.Field(i).Type, inner)
		for k := range inner {
			out[k], out[name+"."+k] = true, true
		}
	}
}

var (
	commandRE  = regexp.MustCompile(`\bquell ([a-z]+(?: [a-z]+)?)`)
	flagRE     = regexp.MustCompile(`--([a-z][a-z-]+)`)
	settingRE  = regexp.MustCompile(`\b([a-z]+(?:_[a-z]+)+)\b|\b([a-z_]+) = |\b(kill\.[a-z_]+)|\[\[?([a-z.]+)\]\]?|\b([a-z_]+) of (?: |$|(?:the )?\[\[instance)|,([a-z_]+)=`)
	byHandRE   = regexp.MustCompile(`^none: |unset QUELL_NO_KILL|by hand|roll the key|restore it at its issuer`)
	variableRE = regexp.MustCompile(`QUELL_[A-Z_]+`)
)

// Each remedy names a command, a flag or a key of the policy that exists, or a step
// that has to be done by hand.
func TestEachRemedyExists(t *testing.T) {
	keys := map[string]bool{}
	keysOf(reflect.TypeFor[policy.Policy](), keys)
	root := (&app{}).root()
	flags := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	all := remediesOf(t)
	if len(all) < 50 {
		t.Fatalf("only %d remedies were found: the test does not see them", len(all))
	}
	for at, list := range all {
		text := strings.Join(list, " ")
		named := byHandRE.MatchString(text)
		for _, m := range commandRE.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(m[1])
			c, rest, err := root.Find(words)
			if err != nil || c == root || len(rest) > 0 && c.HasSubCommands() {
				t.Errorf("%s: no command %q: %s", at, m[0], text)
			}
			named = true
		}
		for _, m := range flagRE.FindAllStringSubmatch(text, -1) {
			if named = true; !flags[m[1]] {
				t.Errorf("%s: no flag %s: %s", at, m[0], text)
			}
		}
		for _, m := range settingRE.FindAllStringSubmatch(text, -1) {
			k := strings.Join(m[1:], "")
			if k == "true" || k == "false" {
				continue
			}
			if named = true; !keys[k] {
				t.Errorf("%s: the policy has no key %q: %s", at, k, text)
			}
		}
		if !named && strings.Trim(text, " ;,=…\"") != "" && !slices.Contains(partOfARemedy, text) {
			t.Errorf("%s: names no command, flag or key: %q", at, text)
		}
		if v := variableRE.FindString(text); v != "" && v != "QUELL_NO_KILL" {
			t.Errorf("%s: variable %s", at, v)
		}
	}
}

// partOfARemedy are what a function adds to one that names a setting, and what an operator
// does outside of quell.
var partOfARemedy = []string{" that the text names", ", and ", "; or wait", "change the key that signs it, which ends everyone's"}

// The command that explains a provider knows each.
func TestEachProviderIsExplained(t *testing.T) {
	home := t.TempDir()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for id := range set.Providers {
		line, _, _ := strings.Cut(revokers.PageRemedy(id), ",")
		var out, errs bytes.Buffer
		code := Run(t.Context(), strings.Fields(line)[1:], strings.NewReader(""), &out, &errs, func(name string) string {
			return map[string]string{"HOME": home}[name]
		})
		if code != 0 || out.Len() == 0 {
			t.Errorf("%s: exit code %d", line, code)
		}
	}
}

// Each name that a probe or a revocation can need has its setting.
func TestEachNeedHasASetting(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	keysOf(reflect.TypeFor[policy.Policy](), keys)
	for _, r := range set.Rules {
		var needs []string
		if r.Probe != nil {
			needs = append(needs, r.Probe.Needs...)
		}
		for _, v := range r.Revokes {
			needs = append(needs, v.Needs...)
		}
		for _, n := range needs {
			if s := revokers.SettingRemedy(n); !strings.HasPrefix(s, "none: ") && !keys[strings.Fields(s)[0]] {
				t.Errorf("%s needs %s: %s", r.ID, n, s)
			}
		}
	}
}
