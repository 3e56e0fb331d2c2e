package redact

import (
	"reflect"
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
