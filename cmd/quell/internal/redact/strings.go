package redact

import "reflect"

// Field is a field of a struct. It is zero for strings outside of fields, such as a map's keys.
type Field struct {
	Of   reflect.Type
	Name string
}

// Strings returns a copy of v in which change has replaced every reachable string: in exported
// fields, elements, keys, pointers, interfaces and byte slices. at is the innermost field that
// contains the string.
func Strings[T any](v T, change func(at Field, s string) string) T {
	out := reflect.New(reflect.TypeFor[T]()).Elem()
	out.Set(copied(reflect.ValueOf(&v).Elem(), Field{}, change))
	return out.Interface().(T)
}

func copied(v reflect.Value, at Field, change func(Field, string) string) reflect.Value {
	t := v.Type()
	switch t.Kind() {
	case reflect.String:
		if s := v.String(); s != "" {
			if c := change(at, s); c != s {
				return reflect.ValueOf(c).Convert(t)
			}
		}
	case reflect.Struct:
		out := reflect.New(t).Elem()
		out.Set(v)
		fields(out, change)
		return out
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return v
		}
		in := copied(v.Elem(), at, change)
		if t.Kind() == reflect.Interface {
			return in
		}
		out := reflect.New(t.Elem())
		out.Elem().Set(in)
		return out
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		if t.Elem().Kind() == reflect.Uint8 {
			s := string(v.Bytes())
			if c := change(at, s); c != s {
				return reflect.ValueOf([]byte(c)).Convert(t)
			}
			return v
		}
		out := reflect.MakeSlice(t, v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(copied(v.Index(i), at, change))
		}
		return out
	case reflect.Array:
		out := reflect.New(t).Elem()
		for i := range v.Len() {
			out.Index(i).Set(copied(v.Index(i), at, change))
		}
		return out
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		out := reflect.MakeMapWithSize(t, v.Len())
		for k, e := range v.Seq2() {
			out.SetMapIndex(copied(k, at, change), copied(e, at, change))
		}
		return out
	}
	return v
}

// fields changes a struct in place. The exported fields of an embedded struct are reachable
// even if its type is not exported.
func fields(v reflect.Value, change func(Field, string) string) {
	t := v.Type()
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case f.IsExported():
			v.Field(i).Set(copied(v.Field(i), Field{t, f.Name}, change))
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			fields(v.Field(i), change)
		}
	}
}
