package rulestest

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/contracttest"
)

// Every canned reply of a case is a part of one that the issuer's document describes: each of
// its members has the documented name, place and type.
func TestCannedRepliesFitTheContracts(t *testing.T) {
	files, err := filepath.Glob("../../../../testdata/contracts/*.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	checked, providers := 0, map[string]bool{}
	for _, f := range files {
		id := strings.TrimSuffix(filepath.Base(f), ".json")
		text, ok := all[id+".toml"]
		if !ok || id == "docker" { // the engine's API: no rule asks it
			continue
		}
		set, err := rules.Load(id+".toml", text)
		if err != nil {
			t.Fatal(err)
		}
		doc := contracttest.Document(t, id+".json")
		for _, r := range set.Rules {
			for _, c := range r.Cases {
				for i, p := range c.Replies {
					schema := schemaOf(doc, c, i)
					if schema == nil {
						continue
					}
					checked++
					providers[id] = true
					if err := conforms(schema, p.JSON); err != nil && !undocumented[r.ID] {
						t.Errorf("%s, case %q: reply %d: %v", r.ID, c.Name, i+1, err)
					}
				}
			}
		}
	}
	t.Logf("%d replies of %d providers: %v", checked, len(providers), slices.Sorted(maps.Keys(providers)))
	if checked < 45 || len(providers) < 15 || !providers["github"] {
		t.Errorf("only %d replies of %d providers were compared", checked, len(providers))
	}
}

// undocumented are rules whose issuer's answers differ from its document: Netlify's document has a
// list of users where the issuer, and its own clients, have one user.
var undocumented = map[string]bool{"netlify-personal-token": true, "netlify-access-token": true}

// schemaOf is the schema of the body of a case's reply; nil if the reply has no JSON, which
// request it answers is not certain, or the document has none.
func schemaOf(doc *openapi3.T, c rules.Case, i int) *openapi3.SchemaRef {
	p := c.Replies[i]
	on := p.On
	if inTurn := !slices.ContainsFunc(c.Replies, func(p rules.Reply) bool { return p.On != "" || p.When != nil }); on == "" && inTurn && len(c.Requests) == len(c.Replies) {
		on = c.Requests[i]
	}
	method, path, ok := strings.Cut(on, " ")
	if p.JSON == nil || !ok {
		return nil
	}
	if at := strings.Index(path, "/"); at > 0 {
		path = path[at:] // of another host of the issuer
	}
	path = variable.ReplaceAllString(path, "x")
	for name, item := range doc.Paths.Map() {
		op := item.GetOperation(method)
		if op == nil || !samePath(name, path) {
			continue
		}
		answer := op.Responses.Value(strconv.Itoa(p.Status))
		if answer == nil || answer.Value == nil {
			return nil
		}
		for kind, body := range answer.Value.Content {
			if strings.Contains(kind, "json") {
				return body.Schema
			}
		}
	}
	return nil
}

// samePath reports whether a path is one of a template's.
func samePath(template, path string) bool {
	a, b := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(a, b, func(x, y string) bool { return x == y || strings.Contains(x, "{") && y != "" })
}

// conforms reports where a value is not what a schema describes. What a value lacks is no error:
// a canned reply has what the rule reads.
func conforms(ref *openapi3.SchemaRef, v any) error {
	if ref == nil || ref.Value == nil || v == nil {
		return nil
	}
	s := ref.Value
	if text, ok := v.(string); ok && strings.Contains(text, "{") {
		return nil // a variable of the case
	}
	for _, list := range []openapi3.SchemaRefs{s.OneOf, s.AnyOf} {
		if len(list) == 0 {
			continue
		}
		var last error
		if !slices.ContainsFunc(list, func(x *openapi3.SchemaRef) bool { last = conforms(x, v); return last == nil }) {
			return last
		}
	}
	if err := typed(s, v); err != nil {
		return err
	}
	switch v := v.(type) {
	case map[string]any:
		return members(s, v)
	case []any:
		for i, e := range v {
			if err := conforms(s.Items, e); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
	}
	return nil
}

func typed(s *openapi3.Schema, v any) error {
	is := ""
	switch v := v.(type) {
	case map[string]any:
		is = "object"
	case []any:
		is = "array"
	case string:
		is = "string"
	case bool:
		is = "boolean"
	case float64:
		is = "number"
	case int64, int:
		is = "integer"
	default:
		return fmt.Errorf("a %T", v)
	}
	if s.Type == nil || len(*s.Type) == 0 || s.Type.Includes(is) || is == "integer" && s.Type.Includes("number") {
		return nil
	}
	return fmt.Errorf("it is %s, documented as %v", is, *s.Type)
}

// members compares the members of an object with those of a schema and of what it consists of.
func members(s *openapi3.Schema, v map[string]any) error {
	known := map[string]*openapi3.SchemaRef{}
	open := s.AdditionalProperties.Has != nil && *s.AdditionalProperties.Has || s.AdditionalProperties.Schema != nil
	var gather func(s *openapi3.Schema)
	gather = func(s *openapi3.Schema) {
		maps.Copy(known, s.Properties)
		for _, list := range []openapi3.SchemaRefs{s.AllOf, s.OneOf, s.AnyOf} {
			for _, x := range list {
				if x.Value != nil {
					gather(x.Value)
				}
			}
		}
	}
	gather(s)
	if open || len(known) == 0 {
		return nil
	}
	for name, value := range v {
		x, ok := known[name]
		if !ok {
			return fmt.Errorf("the document has no member %q here", name)
		}
		if err := conforms(x, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// A reply that a document does not describe is noticed.
func TestContractsNoticeAnotherReply(t *testing.T) {
	schema := func(v map[string]string) *openapi3.SchemaRef {
		s := openapi3.NewObjectSchema()
		for name, kind := range v {
			s.WithProperty(name, &openapi3.Schema{Type: &openapi3.Types{kind}})
		}
		return openapi3.NewSchemaRef("", s)
	}
	s := schema(map[string]string{"id": "integer", "login": "string"})
	if conforms(s, map[string]any{"id": int64(7)}) != nil || conforms(s, map[string]any{"id": "7"}) == nil || conforms(s, map[string]any{"name": "x"}) == nil || conforms(s, []any{}) == nil {
		t.Error("replies are not distinguished")
	}
}
