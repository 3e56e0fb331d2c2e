package ledger

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
	"time"
)

// bodyTypes returns the names of all structs in bodies.go that have a method Type.
func bodyTypes(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "bodies.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && fn.Name.Name == "Type" {
			out = append(out, fn.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}
	return out
}

func TestEveryStructIsInTheTableUnderItsOwnType(t *testing.T) {
	inTable := map[string]bool{}
	for name, read := range table {
		b, err := read([]byte(`{}`))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b.Type() != name {
			t.Errorf("the row %s holds a struct of type %s", name, b.Type())
		}
		inTable[reflect.TypeOf(b).Name()] = true
	}
	structs := bodyTypes(t)
	for _, s := range structs {
		if !inTable[s] {
			t.Errorf("struct %s is missing from the table", s)
		}
	}
	if len(structs) != len(table) || len(table) != 15 {
		t.Errorf("%d structs, %d rows", len(structs), len(table))
	}
}

// fill sets every field that JSON can carry to a value of its own.
func fill(v reflect.Value, n *int) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(int64(1_800_000_000+*n), 0).UTC()
		return
	case *json.RawMessage:
		*x = json.RawMessage(`{"n":1}`)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" {
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(k, n)
		fill(e, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(k, e)
	case reflect.String:
		v.SetString("v" + strings.Repeat("x", *n%7) + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
		if _, ok := v.Interface().(interface{ MarshalText() ([]byte, error) }); ok {
			v.SetInt(1) // an enumeration: its second value
		}
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	}
}

func TestEveryFieldOfEveryBodyRoundTrips(t *testing.T) {
	for name, read := range table {
		zero, err := read([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.New(reflect.TypeOf(zero)).Elem()
		n := 0
		fill(v, &n)
		want := v.Interface().(Body)
		b, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(name, b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v\njson %s", name, got, want, b)
		}
	}
}

func TestBodiesOfATypeOfALaterReleaseAreKept(t *testing.T) {
	b, err := Decode("consent", []byte(`{"by":"two"}`))
	if err != nil || b.Type() != "consent" {
		t.Fatalf("%+v %v", b, err)
	}
	if out, err := encode(b); err != nil || string(out) != `{"by":"two"}` {
		t.Errorf("%s %v", out, err)
	}
}

func TestABodyThatDoesNotFitItsTypeIsAnErrorAndIsKept(t *testing.T) {
	b, err := Decode(TypeIntent, []byte(`[1]`))
	if u, ok := b.(Unknown); err == nil || !ok || u.Name != TypeIntent || string(u.Raw) != "[1]" {
		t.Errorf("%+v %v", b, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range earlierBodies() {
		f.Add(string(c.kind), []byte(c.body))
	}
	f.Fuzz(func(t *testing.T, kind string, raw []byte) {
		b, err := Decode(Type(kind), raw)
		if b == nil {
			t.Fatal("no body")
		}
		if err != nil {
			return
		}
		if _, ok := b.(Unknown); ok {
			return
		}
		out, err := encode(b)
		if err != nil {
			t.Skip("a number or a text that JSON can't carry")
		}
		if _, err := Decode(Type(kind), out); err != nil {
			t.Errorf("%s is written as %s, which is not read: %v", raw, out, err)
		}
	})
}
