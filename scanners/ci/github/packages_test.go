package github_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
	"github.com/quellhq/quell/scanners/ci/github"
	"github.com/quellhq/quell/scanners/oci"
)

// Packages of GitHub: images are read at its registry without the token, and the packages whose
// files the API does not give are each reported.
func TestPackages(t *testing.T) {
	for target, want := range map[string]struct {
		gaps, images []string
	}{
		"o":   {[]string{"o/packages/npm/lib", "o/packages/nuget/n"}, []string{"/o/other:*", "/o/web/app:*"}},
		"o/r": {[]string{"o/packages/npm/lib"}, []string{"/o/web/app:*"}},
	} {
		s := prepare(t)
		s.fake.Packages = []citest.Package{{Type: "container", Name: "web/app", Repo: "r"}, {Type: "container", Name: "other"}, {Type: "npm", Name: "lib", Repo: "r"}, {Type: "nuget", Name: "n", Repo: "x"}}
		base, err := github.Base(s.fake.URL)
		if err != nil {
			t.Fatal(err)
		}
		c := &ci.Client{Base: base, Auth: ci.Header("Authorization", "Bearer ", rules.NewSecretString(token)), Backoff: time.Millisecond, Temp: t.TempDir()}
		s.fake.Repos = []*citest.Repo{{Name: "r"}}
		src, err := github.New(github.Config{Client: c, Targets: []string{target}, Options: ci.Options{Packages: true}})
		if err != nil {
			t.Fatal(err)
		}
		session, err := src.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var gaps []string
		p := scanners.Pool{Detector: detector(), Workers: 1, Unpacker: archive.New(archive.DefaultLimits)}
		if _, err := p.Read(t.Context(), session, func(rules.Finding) { t.Error("a finding") }, func(g scanners.Gap) { gaps = append(gaps, g.Location.Path) }); err != nil {
			t.Fatal(err)
		}
		var images []string
		for more, err := range session.Sources(t.Context()) {
			x, ok := more.(*oci.Source)
			if err != nil || !ok || x.Login != nil || !x.Remote {
				t.Fatalf("%#v, %v", more, err)
			}
			for _, target := range x.Targets {
				images = append(images, strings.TrimPrefix(target, "containers."+base.Host))
			}
		}
		slices.Sort(gaps)
		slices.Sort(images)
		if !slices.Equal(gaps, want.gaps) || !slices.Equal(images, want.images) {
			t.Errorf("%s: %q, %q", target, gaps, images)
		}
		session.Close()
	}
}
