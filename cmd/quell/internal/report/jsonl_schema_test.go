package report

import (
	"bytes"
	"encoding"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/credential"
	"github.com/quellhq/quell/rules/token"
)

const linesSchemaFile = "../../../../docs/report.schema.json"

// closed returns the values of types with a closed set.
func closed() map[reflect.Type][]any {
	return map[reflect.Type][]any{
		reflect.TypeFor[revokers.Liveness]():       {"unknown", "live", "dead"},
		reflect.TypeFor[rules.Confidence]():        {"low", "medium", "high"},
		reflect.TypeFor[rules.Tier]():              {"", string(rules.TierSelf), string(rules.TierAdmin), string(rules.TierCollateral)},
		reflect.TypeFor[rules.Scope]():             {"", string(rules.ScopeSession), string(rules.ScopeUser), string(rules.ScopeEveryone), string(rules.ScopeNone)},
		reflect.TypeFor[credential.OfflineState](): {"", "expired", "unexpired", "unknown"},
		reflect.TypeFor[prove.Outcome]():           {"", "Confirmed", "AlreadyDead", "StillAlive", "Unconfirmed", "UntilExpiry", "Held"},
	}
}

// linesSchema describes the JSON of the events, from the types that are encoded. Readers must
// accept keys that they do not know, so further properties are valid.
type linesSchema struct{ defs map[string]any }

func (m *linesSchema) of(t reflect.Type) map[string]any {
	if values := closed()[t]; values != nil {
		return map[string]any{"type": "string", "enum": values}
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	case t.Kind() == reflect.Pointer:
		return m.of(t.Elem())
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": m.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": m.of(t.Elem())}
	}
	if _, ok := m.defs[t.Name()]; !ok {
		m.defs[t.Name()] = nil
		m.defs[t.Name()] = m.object(t)
	}
	return map[string]any{"$ref": "#/$defs/" + t.Name()}
}

func (m *linesSchema) object(t reflect.Type) map[string]any {
	props, required := map[string]any{}, []string{}
	m.fields(t, props, &required)
	return map[string]any{"type": "object", "properties": props, "required": required}
}

func (m *linesSchema) fields(t reflect.Type, props map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" {
			m.fields(f.Type, props, required)
			continue
		}
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		props[key] = m.of(f.Type)
		if options == "" {
			*required = append(*required, key)
		}
	}
}

func makeLinesSchema(t *testing.T) []byte {
	t.Helper()
	m := &linesSchema{map[string]any{}}
	var lines []any
	for _, e := range types {
		o := m.object(reflect.TypeOf(e))
		o["properties"].(map[string]any)["type"] = map[string]any{"const": e.eventType()}
		o["required"] = append([]string{"type"}, o["required"].([]string)...)
		name := "event_" + e.eventType()
		m.defs[name] = o
		lines = append(lines, map[string]any{"$ref": "#/$defs/" + name})
	}
	b, err := json.MarshalIndent(map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "one line of quell's JSON lines",
		"description": "Keys and types of lines are added and never renamed: ignore those that you do not know.",
		"oneOf":       lines,
		"$defs":       m.defs,
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// one is a run with each type of event, and with every optional part of an action.
func one() []Event {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	ref := rules.Ref{Rule: "gitlab-pat", Provider: "gitlab", Kind: rules.KindAPIKey, Confidence: rules.High, Fingerprint: strings.Repeat("0a", 16), Redacted: "glpa…(26 bytes)",
		Cookies: []string{"b"}, Claims: credential.Claims{Hosts: []string{"gitlab.com"}}, Offline: credential.Offline{State: credential.OfflineUnknown, Expires: &at}, Token: &token.Facts{}, PartFingerprints: map[string]string{"key": strings.Repeat("0b", 16)}}
	where := rules.Location{Source: "log", Path: "run.zip!build/1_Set up job.txt", Line: 3, Column: 7, EndLine: 3, EndColumn: 33, Offset: 90, EndOffset: 116, System: "github", Run: "1", Attempt: 1, Job: "build", Notes: map[string]string{"field": "env"},
		Spans: []credential.Span{{Line: 3, Column: 7, EndLine: 3, EndColumn: 33}}}
	live := revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated, Host: "gitlab.com", Instance: "https://gitlab.com", Endpoint: "self", Identity: map[string]string{"id": "7"}, Expires: &at, At: at, NegativeControl: true, Control: "live"}
	dead := revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Revoked, Host: "gitlab.com", At: at, Documented: "https://docs.gitlab.com/"}
	return []Event{
		Config{Protocol: Protocol, Version: "v1.2.3", Command: "contain log", Targets: []string{"run.zip"}, Rules: 2, At: at},
		Progress{Message: "1 artifact"},
		Finding{Ref: ref, Location: where, Decoded: []string{"base64"}, Views: []string{"joined"}, Partial: true},
		Credential{Ref: ref, Findings: 1, Locations: []rules.Location{where}, Sealed: "age"},
		Verdict{Fingerprint: ref.Fingerprint, Verdict: live},
		Action{Ref: ref, Item: 1, Host: "gitlab.com", Instance: "https://gitlab.com", Endpoint: "self", Action: "revoke", Method: "self", Tier: rules.TierSelf, Scope: rules.ScopeSession, Outcome: prove.Confirmed,
			Requests: []revokers.Effect{{Name: "self", Method: "DELETE", URL: "https://gitlab.com/api/v4/personal_access_tokens/self", Header: map[string]string{"PRIVATE-TOKEN": "{token}"}, Body: json.RawMessage(`{"a":[1]}`), Elements: []string{ref.Fingerprint}}},
			Receipt:  &revokers.Acknowledgement{Accepted: true, Status: 204, At: at}, Rotation: &Rotation{Where: "secret/app#token", At: at}, SendsFrom: &at, Before: &at, Control: "live",
			Proof: []prove.Observation{{After: time.Second, Verdict: dead, Control: &live}}, Looks: 38, ReplicaRisk: 0.018, Derived: []Derived{{Fingerprint: ref.Fingerprint, Liveness: revokers.Dead, Reason: revokers.Revoked}}, Seconds: 1.5},
		Notice{Message: "c.zip: damaged", Kind: "damaged", Path: "c.zip", Count: 2, Incomplete: true},
		Summary{Artifacts: 1, Bytes: 200, Findings: 1, Credentials: 1, Live: 1, Incomplete: 2, Outcomes: map[prove.Outcome]int{prove.Confirmed: 1}, Seconds: 2.5, ExitCode: 1},
	}
}

func compile(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("report.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// docs/report.schema.json describes the JSON lines, and -update writes it. A change of it that
// removes a key or a value breaks the readers of reports.
func TestSchemaOfLines(t *testing.T) {
	made := makeLinesSchema(t)
	if *update {
		if err := os.WriteFile(linesSchemaFile, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(linesSchemaFile)
	if err != nil || !bytes.Equal(file, made) {
		t.Fatalf("%s is not what is written: go test ./cmd/quell/internal/report -run Schema -update (%v)", linesSchemaFile, err)
	}
	schema := compile(t, file)
	for _, events := range [][]Event{one(), stream(), applied()} {
		for _, e := range events {
			line, err := Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	for name, line := range map[string]string{
		"another type":                 `{"type":"story","message":"x"}`,
		"a notice without its message": `{"type":"notice"}`,
		"a count in words":             `{"type":"notice","message":"x","count":"two"}`,
		"another liveness":             `{"type":"verdict","fingerprint":"a","liveness":"alive","reason":"refused","at":"2026-05-04T03:02:01Z","negative_control":true}`,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("%s is valid", name)
		}
	}
}

// The machine-readable formats as bytes: a renamed key or another order shows as a difference.
func TestGoldenMachineFormats(t *testing.T) {
	for _, format := range Formats()[1:] { // after text, which has golden files for each width
		var b bytes.Buffer
		s, err := New(format, &b, &rules.Set{}, Style{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range one() {
			if err := s.Emit(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "one."+format)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || !bytes.Equal(want, b.Bytes()) {
			t.Errorf("%s: %v; got\n%s", file, err, b.Bytes())
		}
		if format == "sarif" {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if err := sarifSchema(t).Validate(doc); err != nil {
				t.Error(err)
			}
		}
	}
}
