package git

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	"github.com/go-git/go-git/v5/plumbing/transport/http"
)

// Remote is a repository that is fetched before it is read.
type Remote struct {
	URL *url.URL
	// Cache is the folder of its copy: bare, and with the objects of earlier fetches.
	Cache string
	// Refs are patterns of the names to fetch, such as refs/heads/*; nil: all, including those
	// of pull and merge requests and of notes.
	Refs []string
	// Getenv and Home are where credentials are searched for.
	Getenv func(string) string
	Home   string
}

// ParseRemote distinguishes a repository's URL from a folder: https, ssh, file, and the short
// form of ssh. ok is false for a folder. Plain http is accepted for this machine only.
func ParseRemote(target string) (u *url.URL, ok bool, err error) {
	if !strings.Contains(target, "://") {
		host, path, short := strings.Cut(target, ":")
		if _, serr := os.Stat(target); serr == nil || !short || strings.ContainsAny(host, `/\`) || !strings.Contains(host, "@") {
			return nil, false, nil
		}
		user, host, _ := strings.Cut(host, "@")
		return &url.URL{Scheme: "ssh", User: url.User(user), Host: host, Path: "/" + strings.TrimPrefix(path, "/")}, true, nil
	}
	u, err = url.Parse(target)
	if err != nil {
		return nil, true, errors.New("not an address")
	}
	if _, has := u.User.Password(); has || u.User != nil && u.Scheme != "ssh" {
		return nil, true, errors.New("a credential in the address would appear in the list of processes (hint: QUELL_GIT_TOKEN, ~/.netrc or ~/.git-credentials)")
	}
	switch u.Scheme {
	case "https", "ssh", "file":
	case "http":
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil, true, errors.New("plain http shows its credential to everybody on the way; https is asked for")
		}
	default:
		return nil, true, fmt.Errorf("%s: https, ssh and file are read", u.Scheme)
	}
	return u, true, nil
}

// Fetch brings the copy up to date and returns its folder. It does not run the git program: a
// file URL is read in place.
func (r Remote) Fetch(ctx context.Context) (string, error) {
	if r.URL.Scheme == "file" {
		return filepath.FromSlash(r.URL.Path), nil
	}
	specs := []config.RefSpec{everything}
	if r.Refs != nil {
		specs = nil
		for _, p := range r.Refs {
			specs = append(specs, config.RefSpec("+"+p+":"+p))
		}
	}
	sum := sha256.Sum256([]byte(r.URL.Redacted() + strings.Join(r.Refs, "\x00")))
	dir := filepath.Join(r.Cache, "git", hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	installStrict()
	repo, err := gogit.PlainOpen(dir)
	if errors.Is(err, gogit.ErrRepositoryNotExists) {
		if repo, err = gogit.PlainInit(dir, true); err == nil {
			_, err = repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{r.URL.String()}, Fetch: specs})
		}
	}
	if err != nil {
		return "", fmt.Errorf("its copy: %w", err)
	}
	err = repo.FetchContext(ctx, &gogit.FetchOptions{RemoteURL: r.URL.String(), RefSpecs: specs, Auth: r.auth(), Tags: gogit.NoTags, Force: true})
	switch {
	case errors.Is(err, gogit.NoErrAlreadyUpToDate), errors.Is(err, transport.ErrEmptyRemoteRepository):
		return dir, nil
	}
	return dir, explain(err)
}

// installStrict puts the strict transport in go-git's table of protocols. The table is a global
// map without a lock, which every fetch reads: it is written once, before the first.
var installStrict = sync.OnceFunc(func() {
	strict := httpTransport()
	client.InstallProtocol("https", strict)
	client.InstallProtocol("http", strict)
})

var errRedirect = errors.New("it redirects to another host: name the repository's address there")

const everything = config.RefSpec("+refs/*:refs/*")

// auth finds a credential only for the host that the operator named: in the environment, then
// in the files of git's own helpers.
func (r Remote) auth() transport.AuthMethod {
	if r.URL.Scheme == "ssh" {
		return nil // the SSH agent's keys, and known_hosts
	}
	host := r.URL.Hostname()
	env := func(name string) string { return strings.TrimSpace(r.Getenv(name)) }
	hostOf := func(address, otherwise string) string {
		if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
		return otherwise
	}
	switch {
	case env("QUELL_GIT_TOKEN") != "" && r.mayHave(env("QUELL_GIT_HOST")):
		return &http.BasicAuth{Username: cmp.Or(env("QUELL_GIT_USER"), "x-access-token"), Password: env("QUELL_GIT_TOKEN")}
	case env("GITHUB_TOKEN") != "" && host == hostOf(env("GITHUB_SERVER_URL"), "github.com"):
		return &http.BasicAuth{Username: "x-access-token", Password: env("GITHUB_TOKEN")}
	case env("CI_JOB_TOKEN") != "" && host == hostOf(env("CI_SERVER_URL"), ""):
		return &http.BasicAuth{Username: "gitlab-ci-token", Password: env("CI_JOB_TOKEN")}
	case env("GITLAB_TOKEN") != "" && host == hostOf(env("CI_SERVER_URL"), "gitlab.com"):
		return &http.BasicAuth{Username: "oauth2", Password: env("GITLAB_TOKEN")}
	}
	if r.Home == "" {
		return nil
	}
	if user, pass, ok := storedCredential(filepath.Join(r.Home, ".git-credentials"), r.URL); ok {
		return &http.BasicAuth{Username: user, Password: pass}
	}
	if user, pass, ok := netrc(filepath.Join(r.Home, ".netrc"), host); ok {
		return &http.BasicAuth{Username: user, Password: pass}
	}
	return nil
}

// mayHave reports whether the repository's host, with its port if it has one, is among hosts.
// With none, the caller makes sure that all its repositories are at one host.
func (r Remote) mayHave(hosts string) bool {
	if hosts == "" {
		return true
	}
	return slices.ContainsFunc(strings.Split(hosts, ","), func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), r.URL.Host) })
}

// storedCredential reads the file of git's store helper: one URL for each line.
func storedCredential(file string, want *url.URL) (user, pass string, ok bool) {
	f, err := os.Open(file)
	if err != nil {
		return "", "", false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		u, err := url.Parse(strings.TrimSpace(s.Text()))
		if err != nil || u.Scheme != want.Scheme || u.Host != want.Host || u.User == nil {
			continue
		}
		if p := strings.Trim(u.Path, "/"); p != "" && p != strings.Trim(want.Path, "/") {
			continue
		}
		pass, ok = u.User.Password()
		return u.User.Username(), pass, ok
	}
	return "", "", false
}

// netrc finds a host's login in the format of ftp(1).
func netrc(file, host string) (user, pass string, ok bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "", false
	}
	words := strings.Fields(string(b))
	here := false
	for i := 0; i+1 < len(words); i++ {
		switch words[i] {
		case "machine":
			if ok {
				return user, pass, ok
			}
			here = words[i+1] == host
			i++
		case "login":
			if i++; here {
				user = words[i]
			}
		case "password":
			if i++; here {
				pass, ok = words[i], true
			}
		}
	}
	return user, pass, ok
}
