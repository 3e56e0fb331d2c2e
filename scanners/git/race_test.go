package git_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/quellhq/quell/scanners/git"
)

// go-git's table of protocols is a global map without a lock: the race detector shows a
// fetch that writes it while another reads it.
func TestRemotesAreFetchedAtTheSameTime(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("x")
	u := forge(t, filepath.Dir(r.dir), "x-access-token", "the-token-of-the-forge")
	u.Path = "/" + filepath.Base(r.dir) + "/.git"
	var wg sync.WaitGroup
	for range 4 {
		remote := git.Remote{URL: u, Cache: t.TempDir(), Getenv: func(name string) string {
			if name == "QUELL_GIT_TOKEN" {
				return "the-token-of-the-forge"
			}
			return ""
		}}
		wg.Go(func() {
			if _, err := remote.Fetch(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A source can be opened again while it is read, and the sessions share nothing.
func TestSessionsOfASourceAreApart(t *testing.T) {
	r := newRepo(t)
	r.write("a.txt", line(0))
	r.commit("x")
	src := &git.Source{Dir: r.dir}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if found, gaps := run(t, src); len(found) != 1 || len(gaps) != 0 {
				t.Errorf("%d findings, %v", len(found), gaps)
			}
		})
	}
	wg.Wait()
}
