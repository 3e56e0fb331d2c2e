package systems

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/ci"
)

// jenkins reads a Jenkins by its remote access API. The target is the address of the server, of
// a folder or of a job; whatever has jobs, configurations or modules is descended into.
func jenkins() System {
	return System{Name: "jenkins", Target: "ADDRESS", About: "Jenkins: console logs and artifacts of all builds below an address", AddressTarget: true,
		TokenEnv: []string{"JENKINS_API_TOKEN"}, UserEnv: []string{"JENKINS_USER_ID"},
		Auth: func(user string, token rules.Secret) func(context.Context, http.Header) error {
			return ci.Basic(user, token)
		}, list: listJenkins}
}

// listJenkins gets the target's address: it is the client's, or below it.
func listJenkins(s *scan, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	var path []string
	for _, p := range strings.Split(strings.Trim(strings.TrimPrefix(u.Path+"/", s.Base.Path), "/"), "/") {
		if p != "" {
			path = append(path, p)
		}
	}
	s.listed = 0
	if err := jenkinsNode(s, path, s.Base.Host, 0); err != nil || s.listed > 0 {
		return err
	}
	// Jenkins shows no jobs, and no error, to a user who may not read them.
	what := "no job or build that the user can read"
	if s.Run != "" {
		what = "no build of this number that the user can read"
	}
	return s.concerning(strings.Join(append([]string{s.Base.Host}, path...), "/"), scanners.OfKind(scanners.GapMissing, errors.New(what)))
}

type jenkinsBuild struct {
	Number    int64
	Timestamp int64 // milliseconds since 1970
	Building  bool
	Artifacts []struct{ RelativePath string }
}

// maxFolders is how deep folders are followed.
const maxFolders = 64

const jenkinsPage = 100

func jenkinsNode(s *scan, path []string, name string, depth int) error {
	var node struct {
		Jobs                 []struct{ Name string }
		ActiveConfigurations []struct{ Name string }
		Modules              []struct{ Name string }
		AllBuilds            []jenkinsBuild
	}
	builds := "allBuilds[number,timestamp,building,artifacts[relativePath]]"
	tree := "jobs[name],activeConfigurations[name],modules[name]," + builds + fmt.Sprintf("{0,%d}", jenkinsPage)
	if _, err := s.get(&node, append(path[:len(path):len(path)], "api", "json"), "tree", tree); err != nil {
		return err
	}
	if s.Run == "" {
		s.listed += len(node.Jobs) + len(node.ActiveConfigurations) + len(node.Modules) + len(node.AllBuilds)
	}
	if depth < maxFolders {
		for k, list := range [][]struct{ Name string }{node.Jobs, node.ActiveConfigurations, node.Modules} {
			for _, j := range list {
				below := path[:len(path):len(path)]
				if k == 0 {
					below = append(below, "job")
				}
				here := name + "/" + ci.Clean(j.Name)
				if err := s.concerning(here, jenkinsNode(s, append(below, j.Name), here, depth+1)); err != nil {
					return err
				}
			}
		}
	}
	c := chooser{Options: s.Options}
	for from := 0; len(node.AllBuilds) > 0; {
		old := 0
		for _, b := range node.AllBuilds {
			id := strconv.FormatInt(b.Number, 10)
			if s.Run == id {
				s.listed++
			}
			if s.Run != "" && s.Run != id || s.again(name+"#"+id) {
				continue
			}
			yes, end := c.take(time.UnixMilli(b.Timestamp))
			if end {
				return nil
			}
			if !yes {
				old++
				continue
			}
			if err := jenkinsBuildItems(s, path, name, id, b); err != nil {
				return err
			}
		}
		if c.enough(len(node.AllBuilds), old) || len(node.AllBuilds) < jenkinsPage {
			return nil
		}
		from += len(node.AllBuilds)
		node.AllBuilds = nil
		if _, err := s.get(&node, append(path[:len(path):len(path)], "api", "json"), "tree", builds+fmt.Sprintf("{%d,%d}", from, from+jenkinsPage)); err != nil {
			return fmt.Errorf("the list of builds: %w", err)
		}
	}
	return nil
}

func jenkinsBuildItems(s *scan, path []string, name, id string, b jenkinsBuild) error {
	at := s.at(name + "/builds/" + id)
	at.Run, at.Job = id, strings.Join(strings.Split(name, "/")[1:], "/")
	base := append(path[:len(path):len(path)], id)
	at.Origin = s.origin(base...)
	// A deleted job's name and numbers may be used again: the time distinguishes builds.
	key := fmt.Sprintf("%s/%s/%d", strings.Join(path, "/"), id, b.Timestamp)
	if b.Building {
		key = ""
	}
	if s.Logs {
		here := at
		here.Path += "/console.log"
		if err := s.item(ci.Item{At: here, Key: key, Fetch: s.download(s.url(append(base[:len(base):len(base)], "consoleText")), "")}); err != nil {
			return err
		}
	}
	if s.Artifacts && len(b.Artifacts) > 0 {
		here := at
		here.Path, here.Source = at.Path+"/archive.zip", "artifact"
		if key != "" {
			key += "/artifacts"
		}
		u := s.url(append(base[:len(base):len(base)], "artifact"))
		u.RawPath = u.EscapedPath() + "/*zip*/archive.zip"
		u.Path += "/*zip*/archive.zip"
		if err := s.item(ci.Item{At: here, Key: key, Fetch: s.download(u, "")}); err != nil {
			return err
		}
	}
	if b.Building {
		return s.notEnded(at, "the build has not ended: it may write more")
	}
	return nil
}
