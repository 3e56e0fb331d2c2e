package systems_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
	"github.com/quellhq/quell/scanners/ci/systems"
	"github.com/quellhq/quell/scanners/detect"
)

// Packages of GitLab: files by its API, images from a registry at another port. The token goes to
// GitLab, whose endpoint gives the registry's token, and never to the registry, though it asks.
func TestPackagesOfGitLab(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	engine := detect.New(set)
	for name, greedy := range map[string]string{"GitLab's realm": "", "a realm elsewhere": "realm", "Basic": "basic"} {
		t.Run(name, func(t *testing.T) {
			var lab *httptest.Server
			var mu sync.Mutex
			exchanged, open := 0, true
			leaked := func(r *http.Request) {
				user, pass, _ := r.BasicAuth()
				if text := fmt.Sprint(r.Header, r.URL, user, pass); strings.Contains(text, token) {
					t.Errorf("the token is at the registry: %s", r.URL.Path)
				}
			}
			images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
			var hub *httptest.Server
			hub = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				leaked(r)
				mu.Lock()
				free := open
				mu.Unlock()
				if !free && r.Header.Get("Authorization") != "Bearer for-the-registry" {
					realm := strings.Replace(lab.URL, "127.0.0.1", "localhost", 1) // the library refuses private addresses
					if greedy == "realm" {
						realm = hub.URL
					}
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/jwt/auth",service="container_registry"`, realm))
					if greedy == "basic" {
						w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
					}
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				images.ServeHTTP(w, r)
			}))
			t.Cleanup(hub.Close)
			host := strings.TrimPrefix(hub.URL, "http://")
			push(t, host+"/g/p/web:1", citest.Cookie(1))
			mu.Lock()
			open = false
			mu.Unlock()
			lab = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if r.URL.Path == "/jwt/auth" {
					if _, pass, _ := r.BasicAuth(); pass == token && r.URL.Query().Get("service") == "container_registry" {
						mu.Lock()
						exchanged++
						mu.Unlock()
						fmt.Fprint(w, `{"token":"for-the-registry"}`)
						return
					}
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				if r.Header.Get("Private-Token") != token {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				answer := map[string]string{
					"/api/v4/projects/g%2Fp":                                        `{"id":7,"path_with_namespace":"g/p"}`,
					"/api/v4/projects/7/packages":                                   `[{"id":1,"name":"tool","version":"1.0","package_type":"generic"},{"id":2,"name":"c","version":"1","package_type":"conan"},{"id":3,"name":"com/x/app","version":"2","package_type":"maven"},{"id":4,"name":"@g/lib","version":"1.0.0","package_type":"npm"},{"id":5,"name":"py","version":"1","package_type":"pypi"},{"id":6,"name":"Net.Lib","version":"1","package_type":"nuget"},{"id":7,"name":"gem","version":"1","package_type":"rubygems"}]`,
					"/api/v4/projects/7/packages/1/package_files":                   `[{"id":11,"file_name":"env.sh"},{"id":12,"file_name":".."}]`,
					"/api/v4/projects/7/packages/2/package_files":                   `[{"id":21,"file_name":"conanfile.py"}]`,
					"/api/v4/projects/7/packages/3/package_files":                   `[{"id":31,"file_name":"app.jar"}]`,
					"/api/v4/projects/7/packages/4/package_files":                   `[{"id":41,"file_name":"@g/lib-1.0.0.tgz"}]`,
					"/api/v4/projects/7/packages/5/package_files":                   `[{"id":51,"file_name":"py-1.tar","file_sha256":"5y57017232013c8ac80647f4ca153k3726f6cba62d055cd747844ed95b3c65ff"},{"id":52,"file_name":"py-1.whl"}]`,
					"/api/v4/projects/7/packages/6/package_files":                   `[{"id":61,"file_name":"net.lib.1.nupkg"}]`,
					"/api/v4/projects/7/packages/7/package_files":                   `[{"id":71,"file_name":"gem-1.gem"}]`,
					"/api/v4/projects/7/packages/npm/@g%2Flib/-/@g%2Flib-1.0.0.tgz": citest.Cookie(4),
					"/api/v4/projects/7/packages/pypi/files/5y57017232013c8ac80647f4ca153k3726f6cba62d055cd747844ed95b3c65ff/py-1.tar": citest.Cookie(5),
					"/api/v4/projects/7/packages/nuget/download/Net.Lib/1/net.lib.1.nupkg":                                             citest.Cookie(6),
					"/api/v4/projects/7/packages/rubygems/gems/gem-1.gem":                                                              citest.Cookie(7),
					"/api/v4/projects/7/packages/generic/tool/1.0/env.sh":                                                              citest.Cookie(2),
					"/api/v4/projects/7/packages/maven/com/x/app/2/app.jar":                                                            citest.Cookie(3),
					"/api/v4/projects/7/registry/repositories":                                                                         fmt.Sprintf(`[{"id":5,"location":"%s/g/p/web"},{"id":6,"location":"../../etc/passwd"}]`, host),
				}[r.URL.EscapedPath()]
				if answer == "" {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				fmt.Fprint(w, answer)
			}))
			t.Cleanup(lab.Close)
			i := slices.IndexFunc(systems.All(), func(s systems.System) bool { return s.Name == "gitlab" })
			sys := systems.All()[i]
			base, err := sys.Base(strings.Replace(lab.URL, "127.0.0.1", "localhost", 1))
			if err != nil {
				t.Fatal(err)
			}
			c := &ci.Client{Base: base, Auth: sys.Auth("", rules.NewSecretString(token)), Backoff: time.Millisecond, Temp: t.TempDir()}
			src, err := sys.New(c, nil, ci.Options{Packages: true}, []string{"g/p"})
			if err != nil {
				t.Fatal(err)
			}
			var found, gaps []string
			read := func(s scanners.Session) {
				t.Helper()
				p := scanners.Pool{Detector: engine, Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
				if _, err := p.Read(t.Context(), s, func(f rules.Finding) { found = append(found, f.Location.Path) }, func(g scanners.Gap) {
					if strings.Contains(g.Error(), token) {
						t.Errorf("the token in %q", g.Error())
					}
					gaps = append(gaps, g.Location.Path)
				}); err != nil {
					t.Fatal(err)
				}
			}
			session, err := src.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			read(session)
			for more, err := range session.Sources(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				s, err := more.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				read(s)
				s.Close()
			}
			slices.Sort(found)
			slices.Sort(gaps)
			want := []string{"app/.env", "g/p/packages/generic/tool/1.0/env.sh", "g/p/packages/maven/com_x_app/2/app.jar", "g/p/packages/npm/@g_lib/1.0.0/@g_lib-1.0.0.tgz", "g/p/packages/nuget/Net.Lib/1/net.lib.1.nupkg", "g/p/packages/pypi/py/1/py-1.tar", "g/p/packages/rubygems/gem/1/gem-1.gem"}
			missing := []string{"g/p/packages/conan/c/1/conanfile.py", "g/p/packages/generic/tool/1.0/_", "g/p/packages/pypi/py/1/py-1.whl", "g/p/registry/6"}
			if greedy != "" {
				want, missing = want[1:], append([]string{host + "/g/p/web:*"}, missing...)
			}
			if !slices.Equal(found, want) || !slices.Equal(gaps, missing) || (exchanged > 0) != (greedy == "") {
				t.Errorf("found %q, gaps %q, %d tokens of the registry", found, gaps, exchanged)
			}
		})
	}
}

// push writes an image with one file to a registry.
func push(t *testing.T, to, text string) {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		_ = w.WriteHeader(&tar.Header{Name: "app/.env", Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg})
		_, _ = io.WriteString(w, text)
		return io.NopCloser(&b), w.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(to)
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
}
