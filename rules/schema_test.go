package rules

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

var updateSchema = flag.Bool("update", false, "write docs/rules.schema.json")

const schemaFile = "../docs/rules.schema.json"

// enums returns the values of keys with a closed set, by type name and key.
func enums() map[string][]string {
	kinds := []string{}
	for _, k := range credential.Kinds {
		kinds = append(kinds, strings.ToLower(strings.ReplaceAll(string(k), " ", "_")), string(k))
	}
	return map[string][]string{
		"Arm.then":              {"live", "dead", "unknown"},
		"Arm.also":              {"asker", "credential"},
		"Arm.after":             {"live"},
		"revokeTOML.tier":       {string(TierSelf), string(TierAdmin), string(TierCollateral)},
		"revokeTOML.scope":      {string(ScopeSession), string(ScopeUser), string(ScopeEveryone), string(ScopeNone)},
		"revokeTOML.grade":      {"P", "X"},
		"revokeTOML.claim":      {"always"},
		"Source.grade":          {"P", "X"},
		"Request.method":        append([]string{"{logout_method}"}, methods...),
		"detailTOML.confidence": {"low", "medium", "high"},
		"detailTOML.kind":       slices.Compact(kinds),
		"detailTOML.expiry":     token.Expiries(),
		"detailTOML.parse":      {"cookies", "list", "fields"},
	}
}

// schemaMaker builds a JSON schema from the types that the loader decodes into.
type schemaMaker struct {
	enums map[string][]string
	defs  map[string]any
}

func (m *schemaMaker) of(t reflect.Type) map[string]any {
	switch {
	case t == reflect.TypeFor[Duration]():
		return map[string]any{"type": "string", "pattern": `^[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h)(?:[0-9]+(?:s|m))?$`}
	case t.Kind() == reflect.Pointer:
		return m.of(t.Elem())
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": m.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": m.of(t.Elem())}
	case reflect.Struct:
		name := strings.TrimSuffix(t.Name(), "TOML")
		if _, ok := m.defs[name]; !ok {
			m.defs[name] = nil // a type can contain itself
			props := map[string]any{}
			m.fields(t, props)
			m.defs[name] = map[string]any{"type": "object", "additionalProperties": false, "properties": props}
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	}
	return map[string]any{}
}

func (m *schemaMaker) fields(t reflect.Type, props map[string]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			m.fields(f.Type, props)
			continue
		}
		key := f.Tag.Get("toml")
		if key == "" || key == "-" {
			continue
		}
		s := m.of(f.Type)
		if e := m.enums[t.Name()+"."+key]; e != nil {
			if items, ok := s["items"].(map[string]any); ok {
				items["enum"] = e
			} else {
				s["enum"] = e
			}
		}
		switch t.Name() + "." + key {
		case "revokeTOML.request":
			one := m.of(reflect.TypeFor[Request]())
			s = map[string]any{"oneOf": []any{one, map[string]any{"type": "array", "items": one, "minItems": 1, "maxItems": 3}}}
		case "providerTOML.owner", "detailTOML.owner":
			s = map[string]any{"type": []string{"string", "array"}, "items": map[string]any{"type": "string"}}
		case "revokeTOML.step":
			s["maxItems"] = 4
		case "Request.json":
			s = map[string]any{"type": []string{"object", "array"}}
		}
		props[key] = s
	}
}

func makeSchema(t *testing.T) []byte {
	m := &schemaMaker{enums(), map[string]any{}}
	root := m.of(reflect.TypeFor[fileTOML]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "quell rules file"
	root["$defs"] = m.defs
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func TestSchemaIsCurrent(t *testing.T) {
	want := makeSchema(t)
	if *updateSchema {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(schemaFile); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the loader reads: go test ./rules -run Schema -update", schemaFile)
	}
}

// valid returns an error if a TOML file does not fit the schema.
func valid(t *testing.T, schema *jsonschema.Schema, text []byte) error {
	t.Helper()
	var doc map[string]any
	if err := toml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return schema.Validate(v)
}

func TestSchemaAndLoaderAgree(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(makeSchema(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("rules.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		if err := valid(t, schema, text); err != nil {
			t.Errorf("%s loads and does not fit the schema: %v", name, err)
		}
	}
	const good = "[provider]\nid = \"x\"\n[[rules]]\nid = \"x\"\nregex = 'x'\n[[rules.revoke]]\nid = \"r\"\ntier = \"self\"\nscope = \"this_session\"\ngrade = \"P\"\nsettle = \"1s\"\naccept = [200]\nrequest = { method = \"POST\", path = \"/r\" }\n"
	if _, err := Load("x.toml", []byte(good)); err != nil {
		t.Fatal(err)
	}
	if err := valid(t, schema, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]string{
		"an unknown key of a rule":    {"regex = 'x'", "regex = 'x'\ncolour = 1"},
		"an unknown key of a request": {`path = "/r"`, `path = "/r", colour = 1`},
		"an unknown method":           {`"POST"`, `"BREW"`},
		"an unknown tier":             {`"self"`, `"selfish"`},
		"an unknown scope":            {`"this_session"`, `"this_one"`},
		"an unknown grade":            {`"P"`, `"K"`},
		"a settle without a unit":     {`"1s"`, `"1"`},
		"a status that is text":       {`[200]`, `["200"]`},
	} {
		text := strings.Replace(good, c[0], c[1], 1)
		if _, err := Load("x.toml", []byte(text)); err == nil {
			t.Errorf("%s: the loader takes it", name)
		}
		if err := valid(t, schema, []byte(text)); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}
