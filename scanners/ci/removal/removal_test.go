package removal

import (
	"errors"
	"strings"
	"testing"

	"github.com/quellhq/quell/scanners/ci"
)

func server(t testing.TB, system, base string) *Server {
	t.Helper()
	u, err := ci.ParseBase(base)
	if err != nil {
		t.Fatal(err)
	}
	return &Server{System: system, Client: &ci.Client{Base: u}}
}

// bases are the addresses of the systems' APIs.
var bases = map[string]string{
	"github": "https://api.github.com/", "gitlab": "https://gitlab.example/api/v4/", "gitea": "https://git.example/sub/api/v1/", "buildkite": "https://api.buildkite.com/v2/",
	"travis": "https://api.travis-ci.com/", "drone": "https://drone.example/", "woodpecker": "https://ci.example/", "jenkins": "https://jenkins.example/ci/",
	"teamcity": "https://tc.example/", "azure": "https://dev.azure.com/", "circleci": "https://circleci.com/", "bitbucket": "https://api.bitbucket.org/2.0/",
}

func TestRequests(t *testing.T) {
	for origin, want := range map[string]string{
		"github:https://api.github.com/repos/o/r/actions/runs/12/logs":                                   "DELETE https://api.github.com/repos/o/r/actions/runs/12/logs",
		"github:https://api.github.com/repos/o/r/actions/artifacts/9":                                    "DELETE https://api.github.com/repos/o/r/actions/artifacts/9",
		"github:https://api.github.com/repos/o/r/actions/jobs/3/logs":                                    "none: the run had not ended",
		"gitlab:https://gitlab.example/api/v4/projects/1/jobs/2/trace":                                   "POST https://gitlab.example/api/v4/projects/1/jobs/2/erase",
		"gitlab:https://gitlab.example/api/v4/projects/1/jobs/2/artifacts":                               "DELETE https://gitlab.example/api/v4/projects/1/jobs/2/artifacts",
		"gitea:https://git.example/sub/api/v1/repos/o/r/actions/runs/5":                                  "DELETE https://git.example/sub/api/v1/repos/o/r/actions/runs/5",
		"gitea:https://git.example/sub/api/v1/repos/o/r/actions/artifacts/5":                             "DELETE https://git.example/sub/api/v1/repos/o/r/actions/artifacts/5",
		"buildkite:https://api.buildkite.com/v2/organizations/o/pipelines/p/builds/7/jobs/a-1/log":       "DELETE https://api.buildkite.com/v2/organizations/o/pipelines/p/builds/7/jobs/a-1/log",
		"buildkite:https://api.buildkite.com/v2/organizations/o/pipelines/p/builds/7/jobs/a/artifacts/b": "DELETE https://api.buildkite.com/v2/organizations/o/pipelines/p/builds/7/jobs/a/artifacts/b",
		"travis:https://api.travis-ci.com/job/8/log":                                                     "DELETE https://api.travis-ci.com/job/8/log",
		"drone:https://drone.example/api/repos/o/r/builds/1/logs/2/3":                                    "DELETE https://drone.example/api/repos/o/r/builds/1/logs/2/3",
		"woodpecker:https://ci.example/api/repos/1/logs/2/3":                                             "DELETE https://ci.example/api/repos/1/logs/2/3",
		"jenkins:https://jenkins.example/ci/job/folder/job/main/2":                                       "POST https://jenkins.example/ci/job/folder/job/main/2/doDelete",
		"jenkins:https://jenkins.example/ci/job/m/label=a%20b/2":                                         "POST https://jenkins.example/ci/job/m/label=a%20b/2/doDelete",
		"teamcity:https://tc.example/app/rest/builds/id:4":                                               "DELETE https://tc.example/app/rest/builds/id:4",
		"azure:https://dev.azure.com/o/p%20q/_apis/build/builds/6":                                       "DELETE https://dev.azure.com/o/p%20q/_apis/build/builds/6?api-version=7.1",
		"circleci:https://circleci.com/api/v2/pipeline/u-1":                                              "none: CircleCI has no API",
		"bitbucket:https://api.bitbucket.org/2.0/repositories/w/r/pipelines/7":                           "none: Bitbucket has no API",
	} {
		r, err := server(t, System(origin), bases[System(origin)]).Of(origin)
		got := ""
		var none *Unsupported
		if errors.As(err, &none) {
			got = "none: " + none.Reason
		} else if err == nil {
			got = r.Method + " " + r.URL
			if strings.ContainsAny(r.What+r.Takes, "#*") || strings.Contains(r.What, ":o") || r.Kind == "" {
				t.Errorf("%q %q", r.What, r.Takes)
			}
			if src, err := server(t, r.System, bases[r.System]).Copy(r); err != nil || src == nil {
				t.Errorf("%s: no copy: %v", origin, err)
			}
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s %v, want %s", origin, got, err, want)
		}
	}
}

// No other address, host, port, spelling or system gives a request.
func TestOriginsThatGiveNoRequest(t *testing.T) {
	for _, origin := range []string{
		"", "github", "github:", "https://api.github.com/repos/o/r/actions/runs/12/logs",
		"gitlab:https://api.github.com/repos/o/r/actions/runs/12/logs",
		"gitlab:https://api.github.com/projects/1/jobs/2/trace",
		"gitea:https://api.github.com/repos/o/r/actions/runs/12",
		"github:http://api.github.com/repos/o/r/actions/runs/12/logs",
		"github:https://api.github.com:8443/repos/o/r/actions/runs/12/logs",
		"github:https://api.github.com.evil.example/repos/o/r/actions/runs/12/logs",
		"github:https://x@api.github.com/repos/o/r/actions/runs/12/logs",
		"github:https://api.github.com/repos/o/r/actions/runs/12/logs?x=1",
		"github:https://api.github.com/repos/o/r/actions/runs/12/logs#x",
		"github:https://api.github.com/repos/o/r/actions/runs/12/logs/",
		"github:https://api.github.com/repos/o/../r/actions/runs/12/logs",
		"github:https://api.github.com/repos/o/%2e%2e/actions/runs/12/logs",
		"github:https://api.github.com/repos/o/r%2Factions/actions/runs/12/logs/x",
		"github:https://api.github.com//repos/o/r/actions/runs/12/logs",
		"github:https://api.github.com/repos/o/r/actions/runs/012/logs",
		"github:https://api.github.com/repos/o/r/actions/runs/1x/logs",
		"github:https://api.github.com/repos/o/r/actions/runs/12",
		"github:https://api.github.com/repos/o/r",
		"github:HTTPS://API.GITHUB.COM/repos/o/r/actions/runs/12/logs",
	} {
		if r, err := server(t, "github", bases["github"]).Of(origin); err == nil {
			t.Errorf("%s: %s %s", origin, r.Method, r.URL)
		}
	}
}

// A request is made only of an origin that is spelt as a scan spells it, and stays below the
// named address.
func FuzzOf(f *testing.F) {
	f.Add("github:https://api.github.com/repos/o/r/actions/runs/12/logs")
	f.Add("github:https://api.github.com/repos/o/%2e%2e/actions/runs/12/logs")
	f.Add("github:https://api.github.com/repos/a%2Fb/c/actions/artifacts/1")
	s := server(f, "github", bases["github"])
	f.Fuzz(func(t *testing.T, origin string) {
		r, err := s.Of(origin)
		if err != nil {
			return
		}
		parts, ok := s.Client.Below(strings.TrimPrefix(origin, "github:"))
		if !ok || s.Client.Origin("github", parts...) != origin || r.Origin != origin || !strings.HasPrefix(r.URL, "https://api.github.com/repos/") || strings.Contains(r.URL, "..") {
			t.Errorf("%q gives %s %s", origin, r.Method, r.URL)
		}
	})
}
