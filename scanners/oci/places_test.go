package oci_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/contracttest"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/oci"
)

// wanted is the location that the scan must report for a planted secret.
type wanted struct {
	what     string
	artifact string // prefix
	path     string
	layer    int               // counted from 1; 0: none
	notes    map[string]string // expected substrings
	// only lists the formats that have such a place; nil: all.
	only []string
}

func tarOf(t testing.TB, headers ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(headers); i += 2 {
		h, ok := headers[i].(tar.Header)
		if !ok {
			h = tar.Header{Name: headers[i].(string)}
		}
		content := headers[i+1].(string)
		h.Mode, h.Size = 0o644, int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

func zst(b []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return z.EncodeAll(b, nil)
}

func jar(name, content string) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err != nil {
		panic(err)
	}
	_, _ = f.Write([]byte(content))
	_ = w.Close()
	return b.String()
}

func database(t testing.TB, value string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TABLE log (id INTEGER PRIMARY KEY, line TEXT)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO log (line) VALUES (?)`, value); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// plant returns an index of two platforms with a secret in each place where an image stores
// bytes.
func plant(t testing.TB) (v1.ImageIndex, v1.Image, map[int]wanted) {
	t.Helper()
	want := map[int]wanted{}
	n := -1
	put := func(w wanted) string {
		n++
		want[n] = w
		return cookie(n)
	}
	wide := func(s string) string {
		out := []byte{0xff, 0xfe}
		for _, c := range []byte(s) {
			out = append(out, c, 0)
		}
		return string(out)
	}
	first := tarOf(t,
		"app/deleted.txt", put(wanted{what: "a file that a later layer deletes", path: "app/deleted.txt", layer: 1, notes: map[string]string{"deleted": "by layer", "created_by": "step 0"}})+"\n",
		"app/over.txt", put(wanted{what: "one that it overwrites", path: "app/over.txt", layer: 1, notes: map[string]string{"overwritten": "by layer"}})+"\n",
		"etc/dir/a", put(wanted{what: "one in a folder that it empties", path: "etc/dir/a", layer: 1, notes: map[string]string{"deleted": "by layer"}})+"\n",
		"app/stays.txt", "\n"+put(wanted{what: "one that stays", path: "app/stays.txt", layer: 1, notes: map[string]string{"layer_index": "0", "platform": "linux/amd64"}})+"\n",
		"lib/app.jar", jar("BOOT-INF/application.yml", put(wanted{what: "a jar", path: "lib/app.jar!BOOT-INF/application.yml", layer: 1})+"\n"),
		"var/log/old.gz", string(gz([]byte(put(wanted{what: "a compressed log", path: "var/log/old.gz!old", layer: 1})+"\n"))),
		"var/db/state", database(t, put(wanted{what: "a row of a database", path: "var/db/state!rows", layer: 1, notes: map[string]string{"row": "table log, row 1"}})),
		"srv/wide.txt", wide(put(wanted{what: "a file in UTF-16", path: "srv/wide.txt", layer: 1})+"\n"),
		"opt/pkg.tgz", string(gz(tarOf(t, "in/x.txt", put(wanted{what: "an archive within the layer", path: "opt/pkg.tgz!pkg.tar!in/x.txt", layer: 1})+"\n"))),
		"opt/encoded", base64.StdEncoding.EncodeToString([]byte(put(wanted{what: "an encoded text", path: "opt/encoded", layer: 1})))+"\n",
		tar.Header{Name: "opt/link", Typeflag: tar.TypeSymlink, Linkname: put(wanted{what: "a link's target", path: "(names)", layer: 1})}, "",
		"opt/"+put(wanted{what: "a file's name", path: "(names)", layer: 1}), "x",
		tar.Header{Name: "opt/pax", PAXRecords: map[string]string{"SCHILY.xattr.user.note": put(wanted{what: "a pax header", path: "(names)", layer: 1})}}, "x",
	)
	second := tarOf(t, "app/.wh.deleted.txt", "", "app/over.txt", "clean\n", "etc/dir/.wh..wh..opq", "",
		"root/.git/config", "[http]\n\textraheader = "+put(wanted{what: "a zstd layer", path: "root/.git/config", layer: 2})+"\n")
	third := tarOf(t, "plain.txt", put(wanted{what: "a layer that is not compressed", path: "plain.txt", layer: 3})+"\n")
	img := mutate.MediaType(v1.Image(empty.Image), types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	for i, l := range []v1.Layer{static.NewLayer(gz(first), types.OCILayer), static.NewLayer(zst(second), types.OCILayerZStd), static.NewLayer(third, types.OCIUncompressedLayer)} {
		a := mutate.Addendum{Layer: l, History: v1.History{CreatedBy: fmt.Sprintf("step %d", i)}}
		if i == 0 {
			a.Annotations = map[string]string{"note": put(wanted{what: "a layer's annotation", artifact: "image manifest", only: []string{"layout", "archive", "registry"}})}
		}
		var err error
		if img, err = mutate.Append(img, a); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	config := func(what, field string) string {
		return put(wanted{what: what, artifact: "image config", notes: map[string]string{"field": field}})
	}
	cfg.Author = config("the author", "author")
	cfg.Config.Env = []string{"HEADERS=" + config("the environment", "config.Env[0]")}
	cfg.Config.Labels = map[string]string{"note": config("a label", "config.Labels.note")}
	cfg.Config.Cmd = []string{"curl", "-H", config("the command", "config.Cmd[2]")}
	cfg.Config.Entrypoint = []string{"curl", "-H", config("the entry point", "config.Entrypoint[2]")}
	cfg.Config.OnBuild = []string{"RUN curl -H '" + config("a trigger", "config.OnBuild[0]") + "'"}
	cfg.Config.Healthcheck = &v1.HealthConfig{Test: []string{"CMD", "curl", "-H", config("the health check", "config.Healthcheck.Test[3]")}}
	cfg.Config.User = config("the user", "config.User")
	cfg.Config.WorkingDir = config("the folder", "config.WorkingDir")
	cfg.Config.Volumes = map[string]struct{}{config("a volume", "config.Volumes"): {}}
	cfg.History = append(cfg.History, v1.History{CreatedBy: "|1 HEADERS=" + config("a build argument", "].created_by") + " /bin/sh -c make", EmptyLayer: true},
		v1.History{Comment: config("a comment of the history", "].comment"), EmptyLayer: true})
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	oci := []string{"layout", "archive", "registry"}
	img = mutate.Annotations(img, map[string]string{"note": put(wanted{what: "a manifest's annotation", artifact: "image manifest", only: oci, notes: map[string]string{"field": "annotations.note"}})}).(v1.Image)

	arm, err := mutate.AppendLayers(mutate.MediaType(v1.Image(empty.Image), types.OCIManifestSchema1), static.NewLayer(gz(tarOf(t, "arm.txt", put(wanted{what: "another platform", path: "arm.txt", layer: 9, notes: map[string]string{"platform": "linux/arm64"}, only: oci})+"\n")), types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := mutate.AppendLayers(mutate.MediaType(v1.Image(empty.Image), types.OCIManifestSchema1),
		static.NewLayer([]byte("\x00asm\x01\x00\x00\x00"+put(wanted{what: "a module of WebAssembly", layer: 9, only: oci})+"\n"), "application/wasm"),
		static.NewLayer(gz(tarOf(t, "chart/values.yaml", put(wanted{what: "a Helm chart", path: "chart/values.yaml", layer: 9, only: oci})+"\n")), "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
		static.NewLayer([]byte(`{"_type":"https://in-toto.io/Statement/v1","note":"`+put(wanted{what: "an attestation", layer: 9, only: oci})+`"}`), "application/vnd.in-toto+json"))
	if err != nil {
		t.Fatal(err)
	}
	nested := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: wasm})
	idx := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}, Annotations: map[string]string{"note": put(wanted{what: "a descriptor's annotation", artifact: "image index", only: oci})}}},
		mutate.IndexAddendum{Add: nested})
	idx = mutate.Annotations(idx, map[string]string{"note": put(wanted{what: "an index's annotation", artifact: "image index", only: oci})}).(v1.ImageIndex)
	return idx, img, want
}

// scanWith scans the source src.
func scanWith(t testing.TB, source *oci.Source) ([]*rules.Finding, []scanners.Gap, scanners.Stats) {
	t.Helper()
	src := opened(t, source)
	defer src.Close()
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var found []*rules.Finding
	var gaps []scanners.Gap
	p := scanners.Pool{Detector: detect.New(set), Unpacker: archive.New(archive.DefaultLimits)}
	stats, err := p.Read(t.Context(), src, func(f rules.Finding) { mu.Lock(); found = append(found, &f); mu.Unlock() }, func(g scanners.Gap) { mu.Lock(); gaps = append(gaps, g); mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Attribute(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	return found, gaps, stats
}

func missing(found []*rules.Finding, n int, w wanted, layers []string) string {
	why := "not found"
	for _, f := range found {
		if f.Secret.Reveal() != secret(n) {
			continue
		}
		l := f.Location
		switch {
		case !strings.HasPrefix(l.Artifact, w.artifact):
			why = fmt.Sprintf("in %q, not %q", l.Artifact, w.artifact)
		case !strings.HasPrefix(l.Path, w.path):
			why = fmt.Sprintf("path %q, not %q", l.Path, w.path)
		case (w.layer > 0) != (l.Layer != ""), w.layer > 0 && w.layer <= len(layers) && l.Layer != layers[w.layer-1]:
			why = fmt.Sprintf("layer %q", l.Layer)
		default:
			for k, v := range w.notes {
				if !strings.Contains(l.Notes[k], v) {
					return fmt.Sprintf("%s is %q, not %q", k, l.Notes[k], v)
				}
			}
			return ""
		}
	}
	return why
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// tarFolder writes a folder as a tar.
func tarFolder(t testing.TB, dir, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestASecretInEachPlace(t *testing.T) {
	idx, img, want := plant(t)
	if len(want) < 24 {
		t.Fatalf("only %d places", len(want))
	}
	dir := t.TempDir()
	lay, ociTar, docker := filepath.Join(dir, "layout"), filepath.Join(dir, "oci.tar"), filepath.Join(dir, "docker.tar")
	if _, err := layout.Write(lay, idx); err != nil {
		t.Fatal(err)
	}
	tarFolder(t, lay, ociTar)
	tag, err := name.NewTag("example.com/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(docker, tag, img); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(srv.URL, "http://") + "/acme/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, idx); err != nil {
		t.Fatal(err)
	}
	list, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var layers []string
	for _, l := range list {
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, d.String())
	}
	again, err := tarball.ImageFromPath(docker, &tag)
	if err != nil {
		t.Fatal(err)
	}
	var saved []string
	for _, l := range must(again.Layers()) {
		saved = append(saved, must(l.Digest()).String())
	}
	for kind, target := range map[string]string{"registry": ref.String(), "layout": lay, "archive": ociTar, "docker": docker} {
		found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{target}})
		for _, g := range gaps {
			t.Errorf("%s: %v", kind, g)
		}
		n := 0
		for k, w := range want {
			if w.only != nil && !slices.Contains(w.only, kind) {
				continue
			}
			n++
			in := layers
			if kind == "docker" {
				// The conversion rewrites the layers, so only their order is comparable.
				in = saved
				delete(w.notes, "platform")
			}
			if why := missing(found, k, w, in); why != "" {
				t.Errorf("%s: %s: %s", kind, w.what, why)
			}
		}
		t.Logf("%s: %d places", kind, n)
		if n < 24 {
			t.Errorf("%s: only %d places", kind, n)
		}
	}
	// As a stream, and from a daemon.
	packed := map[string]string{}
	for ext, pack := range map[string]func([]byte) []byte{"gz": gz, "zst": zst} {
		for _, file := range []string{docker, ociTar} {
			packed[file+"."+ext] = file
			if err := os.WriteFile(file+"."+ext, pack(must(os.ReadFile(file))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for kind, target := range map[string]string{
		"a stream of docker save": docker, "a stream of a layout": ociTar, "a packed stream": docker + ".gz",
		"docker save, gzip": docker + ".gz", "docker save, zstd": docker + ".zst", "a layout, gzip": ociTar + ".gz", "a layout, zstd": ociTar + ".zst",
	} {
		file := cmp.Or(packed[target], target)
		src := &oci.Source{Targets: []string{target}}
		if strings.Contains(kind, "stream") {
			f, err := os.Open(target)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			src = &oci.Source{Targets: []string{"-"}, Stdin: f}
		}
		found, gaps, _ := scanWith(t, src)
		for _, g := range gaps {
			t.Errorf("%s: %v", kind, g)
		}
		for k, w := range want {
			if w.only != nil && file == docker {
				continue
			}
			if w.what == "an attestation" {
				w.layer, w.artifact = 0, "image document"
			}
			in := layers
			if file == docker {
				in = saved
				delete(w.notes, "platform")
			}
			if why := missing(found, k, w, in); why != "" {
				t.Errorf("%s: %s: %s", kind, w.what, why)
			}
		}
	}
	socket := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	daemon := &http.Server{Handler: contracttest.Handler(t, "docker.json", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/images/example.com/app:1/get" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"message":"No such image"}`)
			return
		}
		w.Header().Set("Content-Type", "application/x-tar")
		http.ServeFile(w, r, docker)
	}))}
	go func() { _ = daemon.Serve(l) }()
	defer daemon.Close()
	found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{"docker-daemon:example.com/app:1"}, Socket: socket})
	if why := missing(found, 0, wanted{path: "app/deleted.txt", layer: 1}, saved); why != "" || len(gaps) > 0 {
		t.Errorf("daemon: %s %v", why, gaps)
	}
	if _, gaps, _ = scanWith(t, &oci.Source{Targets: []string{"docker-daemon:nobody"}, Socket: socket}); len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "No such image") {
		t.Errorf("%v", gaps)
	}
	if _, gaps, _ = scanWith(t, &oci.Source{Targets: []string{"docker-daemon:x"}, Socket: filepath.Join(dir, "none")}); len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "no daemon") {
		t.Errorf("%v", gaps)
	}
	// One platform only.
	found, gaps, _ = scanWith(t, &oci.Source{Targets: []string{lay}, Platform: "linux/arm64"})
	if len(gaps) > 0 || missing(found, 3, wanted{}, nil) != "not found" {
		t.Errorf("the other platform is read: %v", gaps)
	}
}

func TestWhatIsAttachedToAnImage(t *testing.T) {
	srv := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	ref, err := name.ParseReference(host + "/acme/app:1")
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer(t, "a.txt", cookie(0)+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	attach := func(n int) v1.Image {
		a, err := mutate.AppendLayers(mutate.MediaType(v1.Image(empty.Image), types.OCIManifestSchema1), static.NewLayer([]byte(`{"note":"`+cookie(n)+`"}`), "application/spdx+json"))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	sbom := mutate.Subject(attach(1), *desc).(v1.Image)
	d, err := sbom.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref.Context().Digest(d.String()), sbom); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref.Context().Tag("sha256-"+desc.Digest.Hex+".sig"), attach(2)); err != nil {
		t.Fatal(err)
	}
	found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{ref.String()}})
	if len(gaps) > 0 {
		t.Error(gaps)
	}
	for n := range 3 {
		if why := missing(found, n, wanted{}, nil); strings.HasPrefix(why, "not found") {
			t.Errorf("%d: %s", n, why)
		}
	}
}

func TestARegistryIsReadByAPattern(t *testing.T) {
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	for i, repo := range []string{"team/a:1", "team/a:2", "team/b:1", "other/c:1"} {
		ref, err := name.ParseReference(host + "/" + repo)
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.AppendLayers(empty.Image, layer(t, "f.txt", cookie(i)+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.CreatedAt(img, v1.Time{Time: time.Unix(1_700_000_000+int64(i)*1000, 0)}); err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
	}
	var order []string
	for a, err := range opened(t, &oci.Source{Targets: []string{host + "/team/*"}}).Artifacts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(a.Location.Artifact, "image manifest") {
			order = append(order, a.Location.Artifact)
		}
	}
	if len(order) != 3 {
		t.Errorf("%d images", len(order))
	}
	found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{host + "/team/*"}})
	if len(gaps) > 0 {
		t.Error(gaps)
	}
	for n := range 4 {
		if got := missing(found, n, wanted{path: "f.txt", layer: 9}, nil) == ""; got != (n < 3) {
			t.Errorf("%d found: %v", n, got)
		}
	}
	if !slices.ContainsFunc(found, func(f *rules.Finding) bool { return strings.Contains(f.Location.Notes["image"], "team/b:1") }) {
		t.Error("no finding names its image")
	}
	if _, gaps, _ := scanWith(t, &oci.Source{Targets: []string{host + "/nobody/*"}}); len(gaps) != 1 {
		t.Errorf("%v", gaps)
	}
}

// shelf is a memory for tests.
type shelf struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *shelf) Get(_ context.Context, k string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.m[k]
	return b, ok
}

func (s *shelf) Put(_ context.Context, k string, v []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[k] = bytes.Clone(v)
}

// The second image shares all layers except one. The scan does not read them again, and still
// reports their findings.
func TestTheSecondImageCostsWhatIsNew(t *testing.T) {
	fetched := map[string]int{}
	var mu sync.Mutex
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet {
			mu.Lock()
			fetched[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]++
			mu.Unlock()
		}
		reg.ServeHTTP(w, r)
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	base := layer(t, "clean.txt", "nothing here\n", "app/later.txt", "x\n")
	leaky := layer(t, "app/leak.txt", cookie(0)+"\n")
	over := layer(t, "app/leak.txt", "gone\n")
	write := func(tag string, layers ...v1.Layer) name.Reference {
		ref, err := name.ParseReference(host + "/app:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.AppendLayers(empty.Image, layers...)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, img); err != nil {
			t.Fatal(err)
		}
		return ref
	}
	one, two := write("1", base, leaky, over), write("2", base, leaky, over, layer(t, "new.txt", cookie(1)+"\n"))
	m := &shelf{m: map[string][]byte{}}
	count := func(l v1.Layer) int {
		d, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		return fetched[d.String()]
	}
	w := wanted{path: "app/leak.txt", layer: 9, notes: map[string]string{"overwritten": "by layer"}}
	found, _, _ := scanWith(t, &oci.Source{Targets: []string{one.String()}, Memory: m})
	if why := missing(found, 0, w, nil); why != "" {
		t.Error(why)
	}
	found, _, _ = scanWith(t, &oci.Source{Targets: []string{two.String()}, Memory: m})
	if why := missing(found, 0, w, nil); why != "" {
		t.Errorf("again: %s", why)
	}
	if missing(found, 1, wanted{path: "new.txt", layer: 9}, nil) != "" {
		t.Error("the new layer is not read")
	}
	if count(base) != 1 || count(over) != 1 || count(leaky) != 2 {
		t.Errorf("the clean layers were fetched %d and %d times, the leaky one %d", count(base), count(over), count(leaky))
	}
}

// The layer names in an archive of docker save are unverified: they neither use nor create the
// memory of a digest.
func TestAnArchiveCantSpeakForADigest(t *testing.T) {
	leaky := static.NewLayer(gz(tarOf(t, "leak.txt", cookie(0)+"\n")), types.OCILayer)
	id := must(leaky.Digest())
	dir := t.TempDir()
	liar := filepath.Join(dir, "liar.tar")
	if err := os.WriteFile(liar, tarOf(t, id.Hex+".tar", string(tarOf(t, "clean.txt", "nothing\n")), "c.json", `{"rootfs":{}}`,
		"manifest.json", `[{"Config":"c.json","RepoTags":["x:1"],"Layers":["`+id.Hex+`.tar"]}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	m := &shelf{m: map[string][]byte{}}
	if _, gaps, _ := scanWith(t, &oci.Source{Targets: []string{liar}, Memory: m}); len(gaps) > 0 {
		t.Fatal(gaps)
	}
	lay := filepath.Join(dir, "layout")
	if _, err := layout.Write(lay, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: must(mutate.AppendLayers(empty.Image, leaky))})); err != nil {
		t.Fatal(err)
	}
	found, _, _ := scanWith(t, &oci.Source{Targets: []string{lay}, Memory: m})
	if why := missing(found, 0, wanted{path: "leak.txt", layer: 9}, nil); why != "" {
		t.Error(why)
	}
}

// Damaged images: the scan reports the damage and reads the rest.
func TestHostileImages(t *testing.T) {
	good := static.NewLayer(gz(tarOf(t, "good.txt", cookie(0)+"\n")), types.OCILayer)
	bomb := func() []byte {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, 9)
		w := tar.NewWriter(z)
		_ = w.WriteHeader(&tar.Header{Name: "zeros", Size: 64 << 20, Mode: 0o644})
		_, _ = io.CopyN(w, zeros{}, 64<<20)
		_ = w.Close()
		_ = z.Close()
		return b.Bytes()
	}
	climb := tarOf(t, "../../etc/passwd", cookie(1)+"\n", "/abs.txt", cookie(2)+"\n")
	whole := gz(tarOf(t, "a.txt", cookie(3)+"\n", "b.txt", strings.Repeat("text", 100000)))
	for name, c := range map[string]struct {
		layer v1.Layer
		want  []int
		clean bool
	}{
		"a path that climbs":      {layer: static.NewLayer(gz(climb), types.OCILayer), want: []int{1, 2}, clean: true},
		"a layer that is cut":     {layer: static.NewLayer(whole[:len(whole)-20], types.OCILayer), want: []int{3}},
		"a layer of no form":      {layer: static.NewLayer([]byte("no tar at all, "+cookie(3)+"\n"), types.OCILayer), want: []int{3}, clean: true},
		"a wrong media type":      {layer: static.NewLayer(whole, types.OCILayerZStd), want: []int{3}, clean: true},
		"an encrypted layer":      {layer: static.NewLayer([]byte("xxxx"), "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")},
		"an empty layer":          {layer: static.NewLayer(nil, types.OCILayer), clean: true},
		"a text after the end":    {layer: static.NewLayer(gz(append(tarOf(t, "a.txt", "x"), cookie(3)...)), types.OCILayer), want: []int{3}, clean: true},
		"a layer after the end":   {layer: static.NewLayer(append(tarOf(t, "a.txt", "x"), tarOf(t, "b.txt", cookie(3)+"\n")...), types.OCIUncompressedLayer), want: []int{3}, clean: true},
		"a bomb":                  {layer: static.NewLayer(bomb(), types.OCILayer)},
		"a header that is no tar": {layer: static.NewLayer(gz(append(tarOf(t, "a.txt", cookie(3)+"\n")[:1024], bytes.Repeat([]byte("x"), 2048)...)), types.OCILayer), want: []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := mutate.AppendLayers(mutate.MediaType(v1.Image(empty.Image), types.OCIManifestSchema1), c.layer, good)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
				t.Fatal(err)
			}
			found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{dir}, Free: 4 << 20})
			for _, n := range append(c.want, 0) {
				if why := missing(found, n, wanted{layer: 9}, nil); why != "" {
					t.Errorf("secret %d: %s", n, why)
				}
			}
			if c.clean != (len(gaps) == 0) {
				t.Errorf("said: %v", gaps)
			}
		})
	}
	// The scan also reads an archive that lists no image.
	loose := filepath.Join(t.TempDir(), "loose.tar")
	if err := os.WriteFile(loose, tarOf(t, "aa/layer.tar", string(tarOf(t, "etc/a.txt", cookie(6)+"\n")), "repositories", "{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{loose}}); missing(found, 6, wanted{path: "etc/a.txt", layer: 9}, nil) != "" || len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "neither an index.json nor a manifest.json") {
		t.Errorf("%d findings, %v", len(found), gaps)
	}
	// A blob that does not match its digest, a missing blob, and one that no manifest names.
	img, err := mutate.AppendLayers(empty.Image, good)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
		t.Fatal(err)
	}
	d, err := good.Digest()
	if err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(dir, "blobs/sha256", d.Hex)
	if err := os.WriteFile(blob, gz(tarOf(t, "other.txt", cookie(4)+"\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	stray := strings.Repeat("ab", 32)
	if err := os.WriteFile(filepath.Join(dir, "blobs/sha256", stray), []byte(cookie(5)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{dir}})
	if len(gaps) != 2 || missing(found, 4, wanted{path: "other.txt", layer: 9}, nil) != "" || missing(found, 5, wanted{artifact: "blob sha256:" + stray, layer: 9}, nil) != "" {
		t.Errorf("%d findings, %v", len(found), gaps)
	}
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	if _, gaps, _ = scanWith(t, &oci.Source{Targets: []string{dir}}); !slices.ContainsFunc(gaps, func(g scanners.Gap) bool { return strings.Contains(g.Error(), "is not here") }) {
		t.Errorf("%v", gaps)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// For a registry without a catalog, quell lists the owner's packages at its forge.
func TestPackagesOfAForge(t *testing.T) {
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	pages := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/_catalog":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/api/v1/packages/team" && r.URL.Query().Get("type") == "container":
			pages++
			if r.URL.Query().Get("page") == "1" {
				list := make([]string, 50)
				for i := range list {
					list[i] = `{"name":"app","version":"1"}`
				}
				_, _ = io.WriteString(w, "["+strings.Join(list, ",")+"]")
				return
			}
			_, _ = io.WriteString(w, `[{"name":"tool","version":"1"}]`)
		case strings.HasPrefix(r.URL.Path, "/api/"):
			w.WriteHeader(http.StatusNotFound)
		default:
			reg.ServeHTTP(w, r)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	for i, repo := range []string{"team/app:1", "team/tool:1"} {
		ref := must(name.ParseReference(host + "/" + repo))
		if err := remote.Write(ref, must(mutate.AppendLayers(empty.Image, layer(t, "f.txt", cookie(i)+"\n")))); err != nil {
			t.Fatal(err)
		}
	}
	found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{host + "/team/*"}})
	if len(gaps) > 0 || pages != 2 {
		t.Errorf("%d pages, %v", pages, gaps)
	}
	for n := range 2 {
		if why := missing(found, n, wanted{path: "f.txt", layer: 9}, nil); why != "" {
			t.Errorf("%d: %s", n, why)
		}
	}
	if _, gaps, _ := scanWith(t, &oci.Source{Targets: []string{host + "/nobody/*"}}); len(gaps) != 1 || !strings.Contains(gaps[0].Error(), "no such owner") {
		t.Errorf("%v", gaps)
	}
	// A mirror is tried first; what it lacks is fetched from the registry.
	mirror := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer mirror.Close()
	at := strings.TrimPrefix(mirror.URL, "http://")
	if err := remote.Write(must(name.ParseReference(at+"/cache/team/app:1")), must(mutate.AppendLayers(empty.Image, layer(t, "m.txt", cookie(7)+"\n")))); err != nil {
		t.Fatal(err)
	}
	m := map[string]string{host: at + "/cache"}
	if found, gaps, _ := scanWith(t, &oci.Source{Targets: []string{host + "/team/app:1", host + "/team/tool:1"}, Mirrors: m}); len(gaps) > 0 || missing(found, 7, wanted{layer: 9}, nil) != "" || missing(found, 1, wanted{layer: 9}, nil) != "" {
		t.Errorf("mirror: %v", gaps)
	}
}
