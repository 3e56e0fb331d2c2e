package systems

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/quellhq/quell/scanners/ci"
)

// teamcity reads TeamCity's REST API. The target is a project's id, with all below it.
func teamcity() System {
	return System{Name: "teamcity", Target: "PROJECT…", About: "TeamCity: logs and artifacts of all builds of a project", AddressEnv: []string{"TEAMCITY_URL", "TEAMCITY_SERVER_URL"}, TokenEnv: []string{"TEAMCITY_TOKEN"},
		Auth: bearer, Check: func(target string, _ ci.Options) error {
			if strings.Trim(target, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
				return fmt.Errorf("%q is not the id of a project", target)
			}
			return nil
		}, list: listTeamCity}
}

type cityBuild struct {
	ID          int64
	Number      string
	State       string
	BuildTypeID string `json:"buildTypeId"`
	QueuedDate  string `json:"queuedDate"`
	StartDate   string `json:"startDate"`
	WebURL      string `json:"webUrl"`
}

func listTeamCity(s *scan, target string) error {
	const fields = "id,number,state,buildTypeId,queuedDate,startDate,webUrl"
	if s.Run != "" {
		var b cityBuild
		if _, err := s.get(&b, []string{"app", "rest", "builds", "id:" + s.Run}, "fields", fields); err != nil {
			return err
		}
		return cityBuildOf(s, target, b)
	}
	const page = 100
	choosers := map[string]*chooser{}
	for start := 0; ; start += page {
		var list struct{ Build []cityBuild }
		locator := fmt.Sprintf("affectedProject:(id:%s),defaultFilter:false,personal:any,state:any,branch:default:any,canceled:any,failedToStart:any,count:%d,start:%d", target, page, start)
		if _, err := s.get(&list, []string{"app", "rest", "builds"}, "locator", locator, "fields", "count,nextHref,build("+fields+")"); err != nil {
			return fmt.Errorf("the list of builds: %w", err)
		}
		old, fresh := 0, 0
		for _, b := range list.Build {
			if s.again(strconv.FormatInt(b.ID, 10)) {
				continue
			}
			fresh++
			c := choosers[b.BuildTypeID]
			if c == nil {
				c = &chooser{Options: s.Options}
				choosers[b.BuildTypeID] = c
			}
			created := parseTime(b.QueuedDate)
			if created.IsZero() {
				created = parseTime(b.StartDate)
			}
			yes, end := c.take(created)
			if !yes {
				if !end {
					old++
				}
				continue
			}
			if err := s.concerning(fmt.Sprintf("%s/builds/%d", target, b.ID), cityBuildOf(s, target, b)); err != nil {
				return err
			}
		}
		if fresh == 0 || old == len(list.Build) {
			return nil
		}
	}
}

func cityBuildOf(s *scan, target string, b cityBuild) error {
	id := strconv.FormatInt(b.ID, 10)
	at := s.at(fmt.Sprintf("%s/builds/%s", target, id))
	at.Run, at.Job, at.Origin = id, b.BuildTypeID, s.origin("app", "rest", "builds", "id:"+id)
	if b.State == "queued" {
		return s.notEnded(at, "the build has not begun")
	}
	open := !ended(b.State)
	key := "build/" + id
	if open {
		key = ""
	}
	if s.Logs {
		here := at
		here.Path += "/build.log"
		if err := s.item(ci.Item{At: here, Key: key, Fetch: s.download(s.url([]string{"downloadBuildLog.html"}, "buildId", id, "plain", "true"), "")}); err != nil {
			return err
		}
	}
	if s.Artifacts {
		var files struct{ File []struct{ Name string } }
		_, err := s.get(&files, []string{"app", "rest", "builds", "id:" + id, "artifacts", "children"}, "fields", "file(name)")
		if err != nil && !ci.Is404(err) {
			if err := s.concerning(at.Path+"/artifacts", fmt.Errorf("the list of artifacts: %w", err)); err != nil {
				return err
			}
		}
		if len(files.File) > 0 {
			here := at
			here.Source, here.Path = "artifact", at.Path+"/artifacts.zip"
			if key != "" {
				key += "/artifacts"
			}
			if err := s.item(ci.Item{At: here, Key: key, Fetch: s.download(s.url([]string{"app", "rest", "builds", "id:" + id, "artifacts", "archived"}), "")}); err != nil {
				return err
			}
		}
	}
	if open {
		return s.notEnded(at, "the build has not ended: it may write more")
	}
	return nil
}
