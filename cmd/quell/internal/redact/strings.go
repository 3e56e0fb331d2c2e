package redact

import (
	"reflect"
	"sync"
)

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
	out.Set(reflect.ValueOf(&v).Elem())
	replace(out, Field{}, change)
	return out.Interface().(T)
}

// Each calls f with every string that Strings would change.
func Each[T any](v T, f func(at Field, s string)) {
	each(reflect.ValueOf(&v).Elem(), Field{}, f)
}

// replace changes the strings of v, which is settable. What v refers to is replaced by a copy.
func replace(v reflect.Value, at Field, change func(Field, string) string) {
	t := v.Type()
	switch t.Kind() {
	case reflect.String:
		if s := v.String(); s != "" {
			if c := change(at, s); c != s {
				v.SetString(c)
			}
		}
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			replace(v.Field(f.index), f.at(at), change)
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || !holds(t) {
			return
		}
		out := reflect.New(v.Elem().Type()).Elem()
		out.Set(v.Elem())
		replace(out, at, change)
		if t.Kind() == reflect.Pointer {
			out = out.Addr()
		}
		v.Set(out)
	case reflect.Slice:
		if v.IsNil() || !holds(t) {
			return
		}
		if t.Elem().Kind() == reflect.Uint8 {
			s := string(v.Bytes())
			if c := change(at, s); c != s {
				v.SetBytes([]byte(c))
			}
			return
		}
		out := reflect.MakeSlice(t, v.Len(), v.Len())
		reflect.Copy(out, v)
		for i := range out.Len() {
			replace(out.Index(i), at, change)
		}
		v.Set(out)
	case reflect.Array:
		if holds(t) {
			for i := range v.Len() {
				replace(v.Index(i), at, change)
			}
		}
	case reflect.Map:
		if v.IsNil() || !holds(t) {
			return
		}
		out := reflect.MakeMapWithSize(t, v.Len())
		for k, e := range v.Seq2() {
			key, elem := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			key.Set(k)
			elem.Set(e)
			replace(key, at, change)
			replace(elem, at, change)
			out.SetMapIndex(key, elem)
		}
		v.Set(out)
	}
}

func each(v reflect.Value, at Field, f func(Field, string)) {
	t := v.Type()
	switch t.Kind() {
	case reflect.String:
		if s := v.String(); s != "" {
			f(at, s)
		}
	case reflect.Struct:
		for _, x := range fieldsOf(t) {
			each(v.Field(x.index), x.at(at), f)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && holds(t) {
			each(v.Elem(), at, f)
		}
	case reflect.Slice, reflect.Array:
		switch {
		case t.Kind() == reflect.Slice && v.IsNil() || !holds(t):
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
			f(at, string(v.Bytes()))
		default:
			for i := range v.Len() {
				each(v.Index(i), at, f)
			}
		}
	case reflect.Map:
		if !holds(t) {
			return
		}
		for k, e := range v.Seq2() {
			each(k, at, f)
			each(e, at, f)
		}
	}
}

// field is a field of a struct that can hold a string.
type field struct {
	index int
	Field
	embedded bool // of a type that is not exported: only its exported fields are reachable
}

// at is the field that contains the strings of a struct's field.
func (f *field) at(outer Field) Field {
	if f.embedded {
		return outer
	}
	return f.Field
}

var fieldCache sync.Map // reflect.Type to []field

// fieldsOf lists the fields of a struct type that can hold a string. The exported fields of an
// embedded struct are reachable even if its type is not exported.
func fieldsOf(t reflect.Type) []field {
	if list, ok := fieldCache.Load(t); ok {
		return list.([]field)
	}
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		embedded := !f.IsExported()
		if embedded && (!f.Anonymous || f.Type.Kind() != reflect.Struct) || !holds(f.Type) {
			continue
		}
		list = append(list, field{i, Field{t, f.Name}, embedded})
	}
	fieldCache.Store(t, list)
	return list
}

var holdsCache sync.Map // reflect.Type to bool

// holds reports whether a value of the type can hold a string.
func holds(t reflect.Type) bool {
	if ok, known := holdsCache.Load(t); known {
		return ok.(bool)
	}
	ok := reaches(t, map[reflect.Type]bool{})
	holdsCache.Store(t, ok)
	return ok
}

// reaches is holds without a cache. seen are the types that are being decided: what they hold is
// found at their other fields.
func reaches(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.String, reflect.Interface:
		return true
	case reflect.Pointer, reflect.Array:
		return reaches(t.Elem(), seen)
	case reflect.Slice:
		return t.Elem().Kind() == reflect.Uint8 || reaches(t.Elem(), seen)
	case reflect.Map:
		return reaches(t.Key(), seen) || reaches(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if (f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct) && reaches(f.Type, seen) {
				return true
			}
		}
	}
	return false
}
