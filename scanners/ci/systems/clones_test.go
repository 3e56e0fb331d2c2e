package systems_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners/ci"
	"github.com/quellhq/quell/scanners/ci/citest"
	"github.com/quellhq/quell/scanners/ci/systems"
)

// With --git all refs of the repositories are read, and wikis and snippets, from git's own server.
func TestRepositories(t *testing.T) {
	session := func(n int) string { return "export A='" + strings.TrimSpace(citest.Cookie(n)) + "'\n" }
	const main, pull = "refs/heads/main", "refs/pull/1/merge"
	for name, c := range map[string]struct {
		system, user string // user is of the token
		targets      []string
		gitUser      string
		multiACK     bool
		commits      [][3]string // path on the server, ref, and the name of the file
		answers      map[string]reply
		want, gaps   []string
	}{
		"gitlab": {system: "gitlab", targets: []string{"g", "alice"}, gitUser: "x-access-token",
			commits: [][3]string{{"g/p.git", main, "a"}, {"g/p.git", "refs/merge-requests/1/head", "mr"}, {"g/p.wiki.git", main, "w"}, {"g/p/snippets/5.git", main, "s"}, {"g/q.git", main, "q"}, {"snippets/6.git", main, "own"}},
			answers: map[string]reply{
				"/api/v4/groups/g/projects":    list{obj{"id": 7, "path_with_namespace": "g/p", "snippets_access_level": "enabled"}, obj{"id": 8, "path_with_namespace": "g/q", "snippets_access_level": "disabled"}, obj{"id": 9, "path_with_namespace": "g/x", "snippets_access_level": "private"}},
				"/api/v4/projects/7/snippets":  list{obj{"id": 5, "project_id": 7}},
				"/api/v4/projects/8/snippets":  http.StatusForbidden,
				"/api/v4/projects/9/snippets":  http.StatusForbidden,
				"/api/v4/user":                 obj{"username": "alice"},
				"/api/v4/users/alice/projects": list{},
				"/api/v4/snippets":             list{obj{"id": 5, "project_id": 7}, obj{"id": 6}, obj{"id": 77, "project_id": 70}},
			},
			want: []string{"alice/snippets/6/own", "g/p.wiki/w", "g/p/a", "g/p/mr", "g/p/snippets/5/s", "g/q/q"},
			gaps: []string{"g/x/snippets: ", "g/x.git"}},
		"gitea": {system: "gitea", targets: []string{"o"}, gitUser: "x-access-token",
			commits: [][3]string{{"o/r.git", main, "a"}, {"o/r.git", pull, "pr"}, {"o/r.wiki.git", main, "w"}},
			answers: map[string]reply{"/api/v1/orgs/o/repos": list{obj{"name": "r", "full_name": "o/r"}}},
			want:    []string{"o/r.wiki/w", "o/r/a", "o/r/pr"}},
		"azure": {system: "azure", targets: []string{"o"}, gitUser: "x-access-token", multiACK: true,
			commits: [][3]string{{"o/p/_git/r", main, "a"}, {"o/p/_git/r", pull, "pr"}, {"o/p/_git/p.wiki", "refs/heads/wikiMaster", "w"}, {"o/two/_git/two", main, "t"}},
			answers: map[string]reply{
				"/o/_apis/projects":                list{},
				"/o/p/_apis/git/repositories":      obj{"value": list{obj{"name": "r"}, obj{"name": "off", "isDisabled": true}}},
				"/o/two/_apis/git/repositories":    obj{"value": list{obj{"name": "two"}}},
				"/o/closed/_apis/git/repositories": http.StatusForbidden,
			},
			want: []string{"o/p/p.wiki/w", "o/p/r/a", "o/p/r/pr", "o/two/two/t"},
			gaps: []string{"o/closed: the list of repositories", "o/p/off: the list of repositories"}},
		"bitbucket, an access token": {system: "bitbucket", targets: []string{"w"}, gitUser: "x-token-auth",
			commits: [][3]string{{"w/r.git", main, "a"}, {"w/r.git/wiki", main, "w"}, {"w/plain.git", main, "p"}, {"snippets/w/k1/title.git", main, "s"}},
			answers: map[string]reply{
				"/2.0/repositories/w":        obj{"values": list{obj{"slug": "r", "has_wiki": true}}, "next": "BASE/2.0/repositories/w?page=2"},
				"/2.0/repositories/w?page=2": obj{"values": list{obj{"slug": "plain"}}},
				"/2.0/snippets/w":            obj{"values": list{obj{"id": "k1", "links": obj{"clone": list{obj{"name": "ssh", "href": "git@x:y"}, obj{"name": "https", "href": "USER/snippets/w/k1/title.git"}}}}, obj{"id": "k2"}, obj{"id": "k3", "links": obj{"clone": list{obj{"name": "https", "href": "STORAGE/snippets/w/k3/x.git"}}}}}},
			},
			want: []string{"w/plain/p", "w/r.wiki/w", "w/r/a", "w/snippets/k1/s"},
			gaps: []string{"w/snippets/k2: the list of repositories", "/snippets/w/k3/x.git: fetch"}},
		"bitbucket, an API token": {system: "bitbucket", user: "a@example.com", targets: []string{"w/r"}, gitUser: "x-bitbucket-api-token-auth",
			commits: [][3]string{{"w/r.git", main, "a"}},
			answers: map[string]reply{"/2.0/repositories/w/r": obj{"slug": "r", "has_wiki": true}},
			want:    []string{"w/r/a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			git := citest.NewGit(t, c.gitUser, token)
			git.MultiACK = c.multiACK
			for n, x := range c.commits {
				git.Commit(x[0], x[1], x[2], session(n))
			}
			if c.system == "azure" {
				c.answers["/o/_apis/projects"] = obj{"value": list{obj{"name": "p"}, obj{"name": "two"}, obj{"name": "closed"}}}
			}
			f := newFake(t, world{system: c.system, answers: c.answers, header: map[string]string{"gitlab": "Private-Token"}[c.system]})
			if f.header == "" {
				f.header = "Authorization"
			}
			api := f.api.Config.Handler
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if git.Asks(r) {
					git.ServeHTTP(w, r)
					return
				}
				api.ServeHTTP(w, r)
			}))
			defer server.Close()
			f.self = server.URL
			i := slices.IndexFunc(systems.All(), func(s systems.System) bool { return s.Name == c.system })
			s := systems.All()[i]
			base, err := s.Base(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			cache := t.TempDir()
			scan := func() (found, gaps []string) {
				client := &ci.Client{Base: base, Auth: s.Auth(c.user, rules.NewSecretString(token)), Backoff: time.Millisecond}
				src, err := s.New(client, nil, ci.Options{}, c.targets)
				if err != nil {
					t.Fatal(err)
				}
				s.Clones(src, cache, c.targets)
				return citest.Repositories(t, detector(), src)
			}
			found, gaps := scan()
			ok := len(gaps) == len(c.gaps)
			for _, g := range c.gaps {
				ok = ok && strings.Contains(strings.Join(gaps, "\n"), g)
			}
			if !slices.Equal(found, c.want) || !ok {
				t.Fatalf("found %q\nnot read %q", found, gaps)
			}
			// New commits are fetched into the same copy.
			git.Commit(c.commits[0][0], "refs/heads/later", "later", session(40))
			if found, _ := scan(); len(found) != len(c.want)+1 {
				t.Errorf("after another commit: %q", found)
			}
		})
	}
}

// A credential that a system uses is one that quell never kills.
func TestVariablesOfAllSystems(t *testing.T) {
	for _, s := range systems.All() {
		for _, v := range s.TokenEnv {
			if !slices.Contains(ci.Variables(), v) {
				t.Errorf("%s: %s is not among those that are never killed", s.Name, v)
			}
		}
	}
}
