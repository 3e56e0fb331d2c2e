package contracttest

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Filler makes objects that have what a document requires of them.
type Filler struct {
	doc *openapi3.T
	t   testing.TB
}

// NewFiller reads testdata/contracts/NAME.
func NewFiller(t testing.TB, name string) *Filler { return &Filler{Document(t, name), t} }

// Fill adds the required properties of a schema that v lacks.
func (f *Filler) Fill(schema string, v map[string]any) map[string]any {
	s := f.doc.Components.Schemas[schema]
	if s == nil {
		f.t.Errorf("the document has no schema %q", schema)
		return v
	}
	full, _ := f.value(s.Value, 0).(map[string]any)
	for k, x := range v {
		full[k] = x
	}
	return full
}

func (f *Filler) value(s *openapi3.Schema, depth int) any {
	switch {
	case s == nil || s.Nullable || depth > 8:
		return nil
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Default != nil:
		return s.Default
	case len(s.OneOf) > 0:
		return f.value(s.OneOf[0].Value, depth+1)
	case len(s.AnyOf) > 0 && len(s.Properties) == 0:
		return f.value(s.AnyOf[0].Value, depth+1)
	case len(s.AllOf) > 0:
		out := map[string]any{}
		for _, x := range s.AllOf {
			if m, ok := f.value(x.Value, depth+1).(map[string]any); ok {
				for k, v := range m {
					out[k] = v
				}
			}
		}
		return out
	case s.Type.Is("string"):
		switch s.Format {
		case "date-time":
			return "2026-11-01T10:00:00Z"
		case "date":
			return "2026-11-01"
		case "uri":
			return "https://example.com/"
		case "uuid":
			return "47177e22-5596-11eb-80a1-c1e54ef945c6"
		case "email":
			return "a@example.com"
		}
		return "x"
	case s.Type.Is("integer"), s.Type.Is("number"):
		return 1
	case s.Type.Is("boolean"):
		return false
	case s.Type.Is("array"):
		return []any{}
	}
	out := map[string]any{}
	for _, k := range s.Required {
		if p := s.Properties[k]; p != nil {
			out[k] = f.value(p.Value, depth+1)
		}
	}
	return out
}
