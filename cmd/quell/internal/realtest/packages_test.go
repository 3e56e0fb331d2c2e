package realtest

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"strings"
	"testing"
)

// packed packs files, given as names and texts in turn.
func packed(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i+1 < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(files[i+1]))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipfile(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i+1 < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(files[i+1]))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// upload publishes a package of each type that quell fetches, as the type's own client does, with a
// line of text in each. It gives the paths of the findings.
func upload(t *testing.T, u, owner, token, line string) []string {
	t.Helper()
	b := newBrowser(t)
	send := func(method, path string, body []byte, contentType string) {
		t.Helper()
		if r := b.send(method, u+"/api/packages/"+owner+path, string(body), "Authorization", "token "+token, "Content-Type", contentType); r.status >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
		}
	}
	const binary = "application/octet-stream"
	send("PUT", "/generic/tool/1.0/env.sh", []byte(line), binary)
	for _, name := range []string{"lib", "@acme/scoped"} {
		archive := gzipped(t, packed(t, "package/package.json", fmt.Sprintf(`{"name":%q,"version":"1.0.0"}`, name), "package/.env", line))
		sum := sha512.Sum512(archive)
		file := strings.TrimPrefix(name, "@acme/") + "-1.0.0.tgz"
		doc, _ := json.Marshal(map[string]any{"_id": name, "name": name, "dist-tags": map[string]any{"latest": "1.0.0"},
			"versions":     map[string]any{"1.0.0": map[string]any{"name": name, "version": "1.0.0", "dist": map[string]any{"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}}},
			"_attachments": map[string]any{file: map[string]any{"content_type": binary, "data": base64.StdEncoding.EncodeToString(archive), "length": len(archive)}}})
		send("PUT", "/npm/"+strings.ReplaceAll(name, "/", "%2f"), doc, "application/json")
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	sdist := gzipped(t, packed(t, "pkg-1.0/PKG-INFO", "Name: pkg\n", "pkg-1.0/.env", line))
	for _, f := range [][2]string{{"sha256_digest", fmt.Sprintf("%x", sha256.Sum256(sdist))}, {":action", "file_upload"}, {"name", "pkg"}, {"version", "1.0"}, {"metadata_version", "2.1"}} {
		_ = w.WriteField(f[0], f[1])
	}
	part, err := w.CreateFormFile("content", "pkg-1.0.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(sdist)
	_ = w.Close()
	send("POST", "/pypi", form.Bytes(), w.FormDataContentType())
	send("PUT", "/nuget", zipfile(t, "Acme.Lib.nuspec", `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd"><metadata><id>Acme.Lib</id><version>1.0.0</version><authors>a</authors><description>d</description></metadata></package>`, "tools/env.ps1", line), binary)
	send("POST", "/helm/api/charts", gzipped(t, packed(t, "chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n", "chart/values.yaml", line)), binary)
	spec := "--- !ruby/object:Gem::Specification\nname: gem\nversion: !ruby/object:Gem::Version\n  version: 1.0.0\nplatform: ruby\nauthors:\n- a\n"
	send("POST", "/rubygems/api/v1/gems", packed(t, "metadata.gz", string(gzipped(t, []byte(spec))), "data.tar.gz", string(gzipped(t, packed(t, "lib/env.rb", line)))), binary)
	send("PUT", "/maven/com/acme/app/1.0/app-1.0.pom", []byte(`<project xmlns="http://maven.apache.org/POM/4.0.0"><groupId>com.acme</groupId><artifactId>app</artifactId><version>1.0</version></project>`), "application/xml")
	send("PUT", "/maven/com/acme/app/1.0/app-1.0.jar", zipfile(t, "application.properties", line), binary)
	var out []string
	for _, p := range []string{
		"generic/tool/1.0/env.sh", "npm/lib/1.0.0/lib-1.0.0.tgz!lib-1.0.0.tar!package/.env", "npm/@acme_scoped/1.0.0/scoped-1.0.0.tgz!scoped-1.0.0.tar!package/.env", "pypi/pkg/1.0/pkg-1.0.tar.gz!pkg-1.0.tar!pkg-1.0/.env",
		"nuget/Acme.Lib/1.0.0/acme.lib.1.0.0.nupkg!tools/env.ps1", "helm/chart/1.0.0/chart-1.0.0.tgz!chart-1.0.0.tar!chart/values.yaml", "rubygems/gem/1.0.0/gem-1.0.0.gem!data.tar.gz!data.tar!lib/env.rb", "maven/com.acme:app/1.0/app-1.0.jar!application.properties",
	} {
		out = append(out, owner+"/packages/"+p)
	}
	return out
}

// A package of each type, published to a real Gitea, is read.
func TestPackagesOfGitea(t *testing.T) {
	t.Parallel()
	u := gitea(t)
	token, stored := giteaToken(t, u, "operator"), giteaToken(t, u, "stored")
	want := upload(t, u, "root1", token, "export GITEA_TOKEN="+stored+"\n")
	o := newOperator(t)
	o.secrets = []string{token, stored, giteaPassword}
	o.env["GITEA_TOKEN"] = token
	report := o.quell(1, "scan", "gitea", "root1", "--url", u, "--offline", "--fail-on", "found", "--packages", "--format", "jsonl")
	for _, p := range want {
		if !strings.Contains(report, `"path":"`+p+`"`) {
			t.Errorf("the report lacks %s", p)
		}
	}
	if strings.Contains(report, `"incomplete":true`) {
		t.Error("a package was not read")
	}
	if t.Failed() {
		for line := range strings.Lines(report) {
			if strings.Contains(line, `"finding"`) || strings.Contains(line, `"notice"`) {
				t.Log(line[:min(400, len(line))])
			}
		}
	}
}
