package redact

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type word string

type inner struct {
	Text   string
	hidden string
}

type outer struct {
	inner
	Word    word
	Bytes   []byte
	List    []inner
	Array   [2]string
	Map     map[word]map[string]inner
	Pointer *inner
	Any     any
	Time    time.Time
	Number  int
	Nil     *inner
	None    []string
	NoMap   map[string]string
}

func TestEveryStringIsChangedInACopy(t *testing.T) {
	made := func() outer {
		in := inner{"s", "s"}
		return outer{in, "s", []byte("s"), []inner{in}, [2]string{"s", ""}, map[word]map[string]inner{"s": {"s": in}}, &in, &in, time.Unix(1, 0), 7, nil, nil, nil}
	}
	v := made()
	got := Strings[any](v, func(_ Field, s string) string { return strings.ToUpper(s) }).(outer)
	in := inner{"S", "s"}
	want := outer{in, "S", []byte("S"), []inner{in}, [2]string{"S", ""}, map[word]map[string]inner{"S": {"S": in}}, &in, &in, time.Unix(1, 0), 7, nil, nil, nil}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !reflect.DeepEqual(v, made()) {
		t.Error("the original was changed")
	}
}

func TestAStringIsKnownByItsField(t *testing.T) {
	var at []string
	Strings(outer{inner: inner{Text: "a"}, Array: [2]string{"b"}, Map: map[word]map[string]inner{"c": nil}}, func(f Field, s string) string {
		at = append(at, s+" "+f.Of.Name()+"."+f.Name)
		return s
	})
	if got := strings.Join(at, ", "); got != "a inner.Text, b outer.Array, c outer.Map" {
		t.Errorf("got %s", got)
	}
}

// Each visits the strings that Strings would change, in the same order except in maps.
func TestEachVisitsWhatStringsChanges(t *testing.T) {
	in := inner{"e", "hidden"}
	v := outer{inner{"a", "hidden"}, "b", []byte("c"), []inner{{"d", ""}}, [2]string{"", "f"}, map[word]map[string]inner{"g": {"h": in}}, &in, []any{in, &in, 1, nil}, time.Unix(1, 0), 7, nil, nil, nil}
	var changed, visited []string
	Strings[any](&v, func(f Field, s string) string {
		changed = append(changed, f.Name+" "+s)
		return s
	})
	Each[any](&v, func(f Field, s string) { visited = append(visited, f.Name+" "+s) })
	if len(changed) < 10 || !slices.Equal(changed, visited) {
		t.Errorf("changed %q\nvisited %q", changed, visited)
	}
}

type list struct {
	Next *list
	N    int
	Text string
}

type numbers struct {
	Next *numbers
	N    []int
}

func TestTypesThatContainThemselves(t *testing.T) {
	v := &list{Next: &list{Text: "a"}, Text: "b"}
	got := Strings(v, func(_ Field, s string) string { return strings.ToUpper(s) })
	if got.Text != "B" || got.Next.Text != "A" || v.Text != "b" || v.Next.Text != "a" {
		t.Errorf("got %+v of %+v", got, v)
	}
	if holds(reflect.TypeFor[numbers]()) || !holds(reflect.TypeFor[*list]()) || !holds(reflect.TypeFor[map[int][]list]()) {
		t.Error("which types hold strings is decided wrong")
	}
}
