package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// deploySchema compiles a part of a file of testdata/deploy; at is its JSON pointer.
func deploySchema(t *testing.T, name, at string) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile("../../../../testdata/deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(name + at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// value is a document of YAML as JSON has it.
func value(t *testing.T, doc any) any {
	t.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The compose file is valid by the schema of the Compose specification.
func TestComposeFileIsValid(t *testing.T) {
	s := deploySchema(t, "compose-spec.json", "")
	text := string(deployFile(t, "compose.yaml"))
	check := func(text string) error {
		var doc map[string]any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return s.Validate(value(t, doc))
	}
	if err := check(text); err != nil {
		t.Error(err)
	}
	for _, change := range [][2]string{{"cap_drop: [ALL]", "cap_drop: ALL"}, {"read_only: true", "readonly: true"}, {"secrets: [postgres]", "secrets: {postgres: 1}"}, {"interval: 5s", "interval: [5]"}} {
		if !strings.Contains(text, change[0]) || check(strings.Replace(text, change[0], change[1], 1)) == nil {
			t.Errorf("%s is valid", change[1])
		}
	}
}

// The manifests are valid by the schema of the Kubernetes API, which has no field that they misspell.
func TestKubernetesManifestsAreValid(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{}
	for kind, name := range map[string]string{"v1 Namespace": "core.v1.Namespace", "v1 ServiceAccount": "core.v1.ServiceAccount", "v1 ConfigMap": "core.v1.ConfigMap", "v1 Service": "core.v1.Service", "apps/v1 Deployment": "apps.v1.Deployment", "networking.k8s.io/v1 NetworkPolicy": "networking.v1.NetworkPolicy"} {
		schemas[kind] = deploySchema(t, "kubernetes.json", "#/$defs/io.k8s.api."+name)
	}
	text := string(deployFile(t, "kubernetes.yaml"))
	check := func(text string) (n int, err error) {
		for d := yaml.NewDecoder(strings.NewReader(text)); ; n++ {
			var doc map[string]any
			if err := d.Decode(&doc); errors.Is(err, io.EOF) {
				return n, nil
			} else if err != nil {
				t.Fatal(err)
			}
			kind := fmt.Sprint(doc["apiVersion"], " ", doc["kind"])
			if schemas[kind] == nil {
				return n, fmt.Errorf("%s has no schema in testdata/deploy", kind)
			}
			if err := schemas[kind].Validate(value(t, doc)); err != nil {
				return n, fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	if n, err := check(text); err != nil || n < 6 {
		t.Errorf("%d documents: %v", n, err)
	}
	for _, change := range [][2]string{{"replicas: 3", "replicas: three"}, {"readOnlyRootFilesystem", "readOnlyRootFileSystem"}, {"terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 60s"}, {"matchLabels", "matchLabel"}} {
		if !strings.Contains(text, change[0]) {
			t.Errorf("the manifests have no %s", change[0])
			continue
		}
		if _, err := check(strings.Replace(text, change[0], change[1], 1)); err == nil {
			t.Errorf("%s is valid", change[1])
		}
	}
}
