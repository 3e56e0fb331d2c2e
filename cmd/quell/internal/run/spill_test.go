package run

import (
	"reflect"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
)

// A field that is added to Finding, Ref or Location is kept in a spilled record.
func TestSpilledFindingsComeBackWhole(t *testing.T) {
	codec, err := newCodec[findingRecord]()
	if err != nil {
		t.Fatal(err)
	}
	var f rules.Finding
	fill(t, reflect.ValueOf(&f).Elem(), "Finding")
	f.Secret = rules.NewSecretString("a secret \xff\x00 that is not UTF-8")
	f.Location.Path = "not UTF-8 \xfe"
	for range 3 {
		b, err := codec.encode(recordOf(f))
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.decode(b)
		if err != nil {
			t.Fatal(err)
		}
		got := r.finding()
		if !got.Secret.Equal(f.Secret) {
			t.Error("the secret is another one")
		}
		got.Secret = f.Secret
		if !reflect.DeepEqual(got, f) {
			t.Errorf("%+v\nwant\n%+v", got, f)
		}
	}
}

// fill sets every field that is reachable to something else than zero.
func fill(t *testing.T, v reflect.Value, at string) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		switch v.Addr().Interface().(type) {
		case *rules.Secret:
			return
		case *time.Time:
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				t.Fatalf("%s.%s is not exported: spilled records lose it", at, v.Type().Field(i).Name)
			}
			fill(t, v.Field(i), at+"."+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), at)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), at)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		fill(t, e, at)
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), e)
	case reflect.String:
		v.SetString("text of " + at)
	case reflect.Int, reflect.Int64:
		v.SetInt(2)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1.5)
	default:
		t.Fatalf("%s: a %s is not known here", at, v.Kind())
	}
}
