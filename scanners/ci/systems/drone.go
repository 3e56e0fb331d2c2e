package systems

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/scanners/ci"
)

// drone reads Drone (docs.drone.io/api). A restarted build is a build of its own.
func drone() System {
	return System{Name: "drone", Target: "OWNER[/REPO]", About: "Drone: logs of the steps of builds", AddressEnv: []string{"DRONE_SERVER"}, TokenEnv: []string{"DRONE_TOKEN"},
		Auth: bearer, NoArtifacts: "Drone keeps no artifacts", Check: words("OWNER[/REPO]"), list: listDrone}
}

func listDrone(s *scan, target string) error {
	if owner, repo, one := strings.Cut(target, "/"); one {
		return s.concerning(target, droneRepo(s, owner, repo))
	}
	var repos []struct{ Slug, Namespace, Name string }
	if _, err := s.get(&repos, []string{"api", "user", "repos"}); err != nil {
		return err
	}
	n := 0
	for _, r := range repos {
		if strings.EqualFold(r.Namespace, target) {
			n++
			if err := s.concerning(r.Slug, droneRepo(s, r.Namespace, r.Name)); err != nil {
				return err
			}
		}
	}
	return s.none(target, n)
}

func droneRepo(s *scan, owner, repo string) error {
	base := []string{"api", "repos", owner, repo, "builds"}
	c := chooser{Options: s.Options}
	if s.Run != "" {
		return droneBuild(s, owner, repo, s.Run)
	}
	for page := 1; ; page++ {
		const perPage = 100
		var builds []struct {
			Number  int64
			Created int64
		}
		if _, err := s.get(&builds, base, "page", strconv.Itoa(page), "per_page", strconv.Itoa(perPage)); err != nil {
			return fmt.Errorf("the list of builds: %w", err)
		}
		old, fresh := 0, 0
		for _, b := range builds {
			id := strconv.FormatInt(b.Number, 10)
			if s.again(owner + "/" + repo + "/" + id) {
				continue
			}
			fresh++
			yes, end := c.take(time.Unix(b.Created, 0))
			if end {
				return nil
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(owner+"/"+repo+"/builds/"+id, droneBuild(s, owner, repo, id)); err != nil {
				return err
			}
		}
		if fresh == 0 || c.enough(len(builds), old) {
			return nil
		}
	}
}

func droneBuild(s *scan, owner, repo, id string) error {
	base := []string{"api", "repos", owner, repo, "builds", id}
	var build struct {
		Status string
		Stages []struct {
			Number int
			Name   string
			Steps  []struct {
				Number       int
				Name, Status string
			}
		}
	}
	if _, err := s.get(&build, base); err != nil {
		return err
	}
	at := s.at(owner + "/" + repo + "/builds/" + id)
	at.Run = id
	for _, stage := range build.Stages {
		for _, x := range stage.Steps {
			here := at
			here.Path = fmt.Sprintf("%s/%d_%s/%d_%s.log", at.Path, stage.Number, ci.Clean(stage.Name), x.Number, ci.Clean(x.Name))
			here.Job, here.Step = stage.Name, x.Name
			here.Origin = s.origin(append(base[:len(base):len(base)], "logs", strconv.Itoa(stage.Number), strconv.Itoa(x.Number))...)
			if waits(x.Status) {
				continue
			}
			key := ""
			if ended(build.Status) {
				key = fmt.Sprintf("%s/%s/%s/%d/%d", owner, repo, id, stage.Number, x.Number)
			}
			u := s.url(append(base[:len(base):len(base)], "logs", strconv.Itoa(stage.Number), strconv.Itoa(x.Number)))
			err := s.item(ci.Item{At: here, Key: key, Fetch: func(ctx context.Context) (*ci.Blob, error) {
				var lines []struct{ Out string }
				if err := s.decode(ctx, u, &lines); err != nil {
					return nil, err
				}
				var b strings.Builder
				for _, l := range lines {
					b.WriteString(l.Out)
				}
				return s.NewBlob(strings.NewReader(b.String()))
			}})
			if err != nil {
				return err
			}
		}
	}
	if !ended(build.Status) {
		return s.notEnded(at, "the build has not ended: it may write more")
	}
	return nil
}

// waits reports whether a job or step has no log yet, or never will.
func waits(status string) bool {
	switch strings.ToLower(status) {
	case "pending", "created", "skipped", "blocked", "declined", "waiting", "manual", "scheduled", "not_run", "notstarted", "waiting_on_dependencies", "waiting_for_resource", "preparing", "blocked_failed", "limited", "limiting", "broken":
		return true
	}
	return false
}

// ended reports whether a run's status is a final one.
func ended(status string) bool {
	switch strings.ToLower(status) {
	case "running", "pending", "created", "queued", "blocked", "waiting", "started", "in_progress", "inprogress", "scheduled", "preparing", "waiting_for_resource", "canceling", "cancelling", "failing", "creating", "booting", "received", "on_hold", "notstarted", "postponed":
		return false
	}
	return true
}

// woodpecker reads Woodpecker (woodpecker-ci.org/api). A restarted pipeline is one of its own.
func woodpecker() System {
	return System{Name: "woodpecker", Target: "OWNER[/REPO]", About: "Woodpecker: logs of the steps of pipelines", AddressEnv: []string{"WOODPECKER_SERVER"}, TokenEnv: []string{"WOODPECKER_TOKEN"},
		Auth: bearer, NoArtifacts: "Woodpecker keeps no artifacts", Check: words("OWNER[/REPO]"), list: listWoodpecker}
}

type woodpeckerRepo struct {
	ID          int64
	Owner, Name string
	FullName    string `json:"full_name"`
}

func listWoodpecker(s *scan, target string) error {
	var repos []woodpeckerRepo
	if owner, repo, one := strings.Cut(target, "/"); one {
		var r woodpeckerRepo
		if _, err := s.get(&r, []string{"api", "repos", "lookup", owner, repo}); err == nil {
			return s.concerning(target, r.list(s, target))
		} else if !ci.Refuses(err) {
			return err
		}
	}
	if _, err := s.get(&repos, []string{"api", "user", "repos"}); err != nil {
		return err
	}
	n := 0
	for _, r := range repos {
		full := r.FullName
		if full == "" {
			full = r.Owner + "/" + r.Name
		}
		if owner, _, _ := strings.Cut(full, "/"); strings.EqualFold(full, target) || strings.EqualFold(owner, target) {
			n++
			if err := s.concerning(full, r.list(s, full)); err != nil {
				return err
			}
		}
	}
	return s.none(target, n)
}

func (r woodpeckerRepo) list(s *scan, full string) error {
	base := []string{"api", "repos", strconv.FormatInt(r.ID, 10), "pipelines"}
	if s.Run != "" {
		return r.pipeline(s, full, s.Run)
	}
	c := chooser{Options: s.Options}
	for page := 1; ; page++ {
		var list []struct {
			Number  int64
			Created int64
		}
		if _, err := s.get(&list, base, "page", strconv.Itoa(page), "perPage", "50"); err != nil {
			return fmt.Errorf("the list of pipelines: %w", err)
		}
		old, fresh := 0, 0
		for _, p := range list {
			id := strconv.FormatInt(p.Number, 10)
			if s.again(full + "/" + id) {
				continue
			}
			fresh++
			yes, end := c.take(time.Unix(p.Created, 0))
			if end {
				return nil
			}
			if !yes {
				old++
				continue
			}
			if err := s.concerning(full+"/pipelines/"+id, r.pipeline(s, full, id)); err != nil {
				return err
			}
		}
		if fresh == 0 || c.enough(len(list), old) {
			return nil
		}
	}
}

func (r woodpeckerRepo) pipeline(s *scan, full, id string) error {
	repo := strconv.FormatInt(r.ID, 10)
	var p struct {
		Status    string
		Workflows []struct {
			Name     string
			Children []struct {
				ID          int64
				Name, State string
			}
		}
	}
	if _, err := s.get(&p, []string{"api", "repos", repo, "pipelines", id}); err != nil {
		return err
	}
	at := s.at(full + "/pipelines/" + id)
	at.Run = id
	for _, w := range p.Workflows {
		for _, x := range w.Children {
			if waits(x.State) {
				continue
			}
			here := at
			here.Path = fmt.Sprintf("%s/%s/%d_%s.log", at.Path, ci.Clean(w.Name), x.ID, ci.Clean(x.Name))
			here.Job, here.Step = w.Name, x.Name
			here.Origin = s.origin("api", "repos", repo, "logs", id, strconv.FormatInt(x.ID, 10))
			key := ""
			if ended(p.Status) {
				key = fmt.Sprintf("%s/%s/%d", repo, id, x.ID)
			}
			u := s.url([]string{"api", "repos", repo, "logs", id, strconv.FormatInt(x.ID, 10)})
			err := s.item(ci.Item{At: here, Key: key, Fetch: func(ctx context.Context) (*ci.Blob, error) {
				var lines []struct{ Data string }
				if err := s.decode(ctx, u, &lines); err != nil {
					return nil, err
				}
				var b strings.Builder
				for _, l := range lines {
					// One entry is one line; its data is base64 in JSON.
					if text, err := base64.StdEncoding.DecodeString(l.Data); err == nil {
						b.Write(text)
					} else {
						b.WriteString(l.Data)
					}
					if !strings.HasSuffix(b.String(), "\n") {
						b.WriteByte('\n')
					}
				}
				return s.NewBlob(strings.NewReader(b.String()))
			}})
			if err != nil {
				return err
			}
		}
	}
	if !ended(p.Status) {
		return s.notEnded(at, "the pipeline has not ended: it may write more")
	}
	return nil
}
