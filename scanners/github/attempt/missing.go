package attempt

import (
	"slices"
	"strings"
	"unicode"

	"github.com/google/go-github/v88/github"

	"github.com/quellhq/quell/scanners/cilog"
)

// Missing gives the jobs that have a log which none in the archive is recognised as, and how many
// of them, at least, the archive lacks: logs that no job is recognised by may be theirs. 0: none
// is known to be missing.
//
// GitHub documents no rule for the names in the archive. Characters are left out or replaced,
// names are cut (at 90 UTF-16 code units, earlier ones shorter), and jobs may share a name.
// https://github.com/cli/cli/blob/trunk/pkg/cmd/run/view/logs.go
func Missing(jobs []*github.WorkflowJob, logs []cilog.JobLog) (missing []*github.WorkflowJob, n int) {
	left, folders, total := map[string]int{}, map[string]int{}, 0
	for _, l := range logs {
		switch {
		case l.Steps:
			folders[fold(l.Name)]++
		case !l.Empty():
			left[fold(l.Name)]++
			total++
		}
	}
	if total == 0 {
		// An archive of folders alone.
		left = folders
		for _, k := range left {
			total += k
		}
	}
	take := func(name string) bool {
		if left[name] == 0 {
			return false
		}
		left[name]--
		total--
		return true
	}
	var others []*github.WorkflowJob
	for _, j := range jobs {
		switch {
		case !MustLog(j):
			others = append(others, j)
		case !take(fold(j.GetName())):
			missing = append(missing, j)
		}
	}
	missing = keep(missing, func(name string) bool { return !take(cut(left, name)) })
	// A job without a whole log may have those of its steps.
	missing = keep(missing, func(name string) bool {
		if folders[name] == 0 {
			name = cut(folders, name)
		}
		folders[name]--
		return folders[name] < 0
	})
	for _, j := range others {
		if name := fold(j.GetName()); !take(name) {
			take(cut(left, name))
		}
	}
	if n = len(missing) - total; n <= 0 {
		return nil, 0
	}
	return missing, n
}

func keep(jobs []*github.WorkflowJob, missing func(name string) bool) (out []*github.WorkflowJob) {
	for _, j := range jobs {
		if missing(fold(j.GetName())) {
			out = append(out, j)
		}
	}
	return out
}

// shortest is the length of the shortest name that counts as a cut one.
const shortest = 30

// cut finds the longest of the names that are left that name was cut to.
func cut(left map[string]int, name string) (found string) {
	for l, k := range left {
		if k > 0 && len(l) >= shortest && len(l) > len(found) && strings.HasPrefix(name, l) {
			found = l
		}
	}
	if found == "" {
		return name
	}
	return found
}

// fold reduces a name to what no rule for file names changes.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}

// lastStep is the runner's own, whose end is the log's.
const lastStep = "Complete job"

// Cut gives the jobs whose runner came to its last step and whose log in the archive lacks what
// that step writes, with the sizes of the logs that may be theirs.
func Cut(jobs []*github.WorkflowJob, logs []cilog.JobLog) map[*github.WorkflowJob][]int64 {
	sizes, ended := map[string][]int64{}, map[string]int{}
	for _, l := range logs {
		switch {
		case l.Steps || l.Empty():
			continue
		case l.Ended || !l.Whole: // what was not read to its end is reported
			ended[fold(l.Name)]++
		}
		sizes[fold(l.Name)] = append(sizes[fold(l.Name)], l.Size)
	}
	out := map[*github.WorkflowJob][]int64{}
	for _, j := range jobs {
		name := fold(j.GetName())
		if s := sizes[name]; MustLog(j) && len(s) > ended[name] && completed(j) {
			out[j] = s
		}
	}
	return out
}

func completed(j *github.WorkflowJob) bool {
	return slices.ContainsFunc(j.Steps, func(s *github.TaskStep) bool {
		return s.GetName() == lastStep && s.GetConclusion() == "success"
	})
}
