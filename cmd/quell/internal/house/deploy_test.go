package house

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/quellhq/quell/cmd/quell/internal/serve"
	"github.com/quellhq/quell/rules/testenv"
)

const deployDir = "../../../../docs/deploy/"

func deployFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(deployDir + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type podSpec struct {
	AutomountServiceAccountToken *bool            `yaml:"automountServiceAccountToken"`
	SecurityContext              map[string]any   `yaml:"securityContext"`
	Containers                   []podContainer   `yaml:"containers"`
	Volumes                      []map[string]any `yaml:"volumes"`
	Rest                         map[string]any   `yaml:",inline"`
}

type podContainer struct {
	Args    []string `yaml:"args"`
	Env     []any    `yaml:"env"`
	EnvFrom []struct {
		SecretRef struct{ Name string } `yaml:"secretRef"`
	} `yaml:"envFrom"`
	SecurityContext map[string]any `yaml:"securityContext"`
	LivenessProbe   map[string]any `yaml:"livenessProbe"`
	ReadinessProbe  map[string]any `yaml:"readinessProbe"`
	Rest            map[string]any `yaml:",inline"`
}

// The manifests keep admin credentials in the killing worker, name secrets by reference, and run
// without rights; their configuration files are read by quell.
func TestKubernetesManifests(t *testing.T) {
	d := yaml.NewDecoder(bytes.NewReader(deployFile(t, "kubernetes.yaml")))
	deployments, configs := 0, map[string]*serve.Config{}
	for {
		var doc struct {
			Kind     string
			Metadata struct{ Name string }
			Data     map[string]string
			Spec     struct {
				Template struct {
					Metadata struct{ Labels map[string]string }
					Spec     podSpec
				}
			}
		}
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch doc.Kind {
		case "Secret":
			t.Error("a secret is written out")
		case "ConfigMap":
			for name, text := range doc.Data {
				if name == "policy.toml" {
					continue
				}
				file := filepath.Join(t.TempDir(), name)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				c, err := serve.LoadConfig(file)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				configs[name] = c
			}
		case "Deployment":
			deployments++
			kills := strings.HasSuffix(doc.Metadata.Name, "-kill")
			pod := doc.Spec.Template.Spec
			if pod.SecurityContext["runAsNonRoot"] != true || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || len(pod.Containers) != 1 {
				t.Errorf("%s: %+v", doc.Metadata.Name, pod.SecurityContext)
			}
			for _, c := range pod.Containers {
				var secrets []string
				for _, e := range c.EnvFrom {
					secrets = append(secrets, e.SecretRef.Name)
				}
				if has := strings.Contains(strings.Join(secrets, " "), "quell-admin"); has != kills || len(c.Env) > 0 {
					t.Errorf("%s: secrets %q", doc.Metadata.Name, secrets)
				}
				if x := c.SecurityContext; x["readOnlyRootFilesystem"] != true || x["allowPrivilegeEscalation"] != false || c.LivenessProbe == nil || c.ReadinessProbe == nil {
					t.Errorf("%s: %+v", doc.Metadata.Name, x)
				}
				name := map[bool]string{true: "kill.toml", false: "scan.toml"}[kills]
				if !strings.Contains(strings.Join(c.Args, " "), "/etc/quell/"+name) || configs[name] == nil || configs[name].Kills() != kills {
					t.Errorf("%s: %q", doc.Metadata.Name, c.Args)
				}
			}
		}
	}
	if deployments != 2 {
		t.Errorf("%d deployments", deployments)
	}
}

// The compose file is as strict.
func TestComposeFile(t *testing.T) {
	var doc struct {
		Services map[string]struct {
			User        string
			ReadOnly    bool     `yaml:"read_only"`
			CapDrop     []string `yaml:"cap_drop"`
			Environment map[string]string
			EnvFile     []string `yaml:"env_file"`
		}
	}
	if err := yaml.Unmarshal(deployFile(t, "compose.yaml"), &doc); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"scan", "kill"} {
		s, ok := doc.Services[name]
		if !ok || !s.ReadOnly || s.User != "65532:65532" || len(s.CapDrop) != 1 || len(s.Environment) > 0 {
			t.Errorf("%s: %+v", name, s)
		}
		if has := strings.Contains(strings.Join(s.EnvFile, " "), "admin.env"); has != (name == "kill") {
			t.Errorf("%s: %q", name, s.EnvFile)
		}
	}
}

// systemd knows all settings of the unit.
func TestSystemdUnit(t *testing.T) {
	text := string(deployFile(t, "quell.service"))
	for _, want := range []string{"ProtectSystem=strict", "NoNewPrivileges=yes", "DynamicUser=yes", "SystemCallFilter=@system-service", "Restart=always", "StateDirectory=quell"} {
		if !strings.Contains(text, want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	analyze := testenv.Need(t, "systemd-analyze")
	file := filepath.Join(t.TempDir(), "quell.service")
	if err := os.WriteFile(file, []byte(strings.Replace(text, "ExecStart=/usr/bin/quell", "ExecStart=/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v %s", err, out)
	}
}
