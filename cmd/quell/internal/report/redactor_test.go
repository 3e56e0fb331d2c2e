package report

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/redact"
	"github.com/quellhq/quell/rules"
)

// events is one of every type.
func events() []Event {
	return []Event{Config{}, Finding{}, Credential{}, Verdict{}, Action{}, Progress{}, Notice{}, Summary{}}
}

// filled sets every string that encoding/json can reach.
func filled(v reflect.Value, s string, depth int) {
	if depth > 6 || v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				filled(v.Field(i), s, depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), s, depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(s))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(v.Index(0), s, depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		filled(k, s, depth+1)
		filled(e, s, depth+1)
		v.SetMapIndex(k, e)
	}
}

// left lists the fields that still hold s.
func left(v reflect.Value, at, s string, out *[]string) {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), s) {
			*out = append(*out, at)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				left(v.Field(i), v.Type().Name()+"."+f.Name, s, out)
			}
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			left(v.Elem(), at, s, out)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if strings.Contains(string(v.Bytes()), s) {
				*out = append(*out, at)
			}
			return
		}
		for i := range v.Len() {
			left(v.Index(i), at, s, out)
		}
	case reflect.Map:
		for k, e := range v.Seq2() {
			left(k, at, s, out)
			left(e, at, s, out)
		}
	}
}

// A field that is added to an event is redacted unless it is listed here too.
func TestEveryFieldOfEveryEventIsRedacted(t *testing.T) {
	const secret = "made-up-secret-value"
	// Values that quell creates itself, and the secrets that --reveal prints.
	want := []string{"Config.Version", "Credential.Sealed", "Credential.Secret", "Derived.Fingerprint", "Finding.Secret", "Location.Commit", "Location.Source", "Notice.Kind",
		"Ref.Fingerprint", "Ref.Group", "Ref.Kind", "Ref.PartFingerprints", "Ref.Provider", "Ref.Redacted", "Ref.Rule", "Verdict.Fingerprint"}
	red := NewRedactor(rules.NewSecretString(secret))
	var got []string
	for _, e := range events() {
		v := reflect.New(reflect.TypeOf(e)).Elem()
		filled(v, "x "+secret+" y", 0)
		left(reflect.ValueOf(red.Event(v.Interface().(Event))), "", secret, &got)
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("not redacted are\n%q, want\n%q", got, want)
	}
}

// The list of the test above is that of all events.
func TestEveryEventIsListed(t *testing.T) {
	for _, e := range events() {
		b, err := Marshal(e)
		if err != nil || !strings.HasPrefix(string(b), fmt.Sprintf(`{"type":%q`, strings.ToLower(reflect.TypeOf(e).Name()))) {
			t.Errorf("%T: %s %v", e, b, err)
		}
	}
}

func TestNamesThatWereNeverReadAreRedactedToo(t *testing.T) {
	const secret = "made-up-secret-value"
	red := NewRedactor()
	var looked []string
	red.Detect = func(text string) []rules.Secret {
		looked = append(looked, text)
		if strings.Contains(text, secret) {
			return []rules.Secret{rules.NewSecretString(secret)}
		}
		return nil
	}
	for _, coded := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), fmt.Sprintf("%x", secret), url.PathEscape("%" + secret)} {
		e := red.Event(Notice{Message: "a message before it with " + coded, Path: "d/" + coded + ".zip"}).(Notice)
		if strings.Contains(e.Path, coded[:16]) || strings.Contains(e.Message, coded[:16]) {
			t.Errorf("%+v", e)
		}
		red.known = redact.New()
	}
	before := len(looked)
	red.Event(Notice{Path: "src/components/navigation/header-with-a-long-name.tsx"})
	if n := len(looked) - before; n > 1 {
		t.Errorf("an ordinary path is looked at %d times", n)
	}
}
