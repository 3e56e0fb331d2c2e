package systems_test

import (
	"bytes"
	"encoding/json"
	"regexp"

	gl "gitlab.com/gitlab-org/api/client-go"
)

// gitlabAnswers are the documents that GitLab answers with, in the types of its own client.
var gitlabAnswers = []struct {
	path *regexp.Regexp
	of   func() any
}{
	{regexp.MustCompile(`^/api/v4/projects/[^/]+$`), func() any { return &gl.Project{} }},
	{regexp.MustCompile(`^/api/v4/(groups|users)/[^/]+/projects$`), func() any { return &[]gl.Project{} }},
	{regexp.MustCompile(`^/api/v4/projects/\d+/pipelines$`), func() any { return &[]gl.PipelineInfo{} }},
	{regexp.MustCompile(`^/api/v4/projects/\d+/pipelines/\d+$`), func() any { return &gl.Pipeline{} }},
	{regexp.MustCompile(`^/api/v4/projects/\d+/pipelines/\d+/jobs$`), func() any { return &[]gl.Job{} }},
	{regexp.MustCompile(`^/api/v4/projects/\d+/pipelines/\d+/bridges$`), func() any { return &[]gl.Bridge{} }},
	{regexp.MustCompile(`^/api/v4/projects/\d+/packages$`), func() any { return &[]gl.Package{} }},
	{regexp.MustCompile(`^/api/v4/projects/\d+/packages/\d+/package_files$`), func() any { return &[]gl.PackageFile{} }},
	{regexp.MustCompile(`^/api/v4/projects/\d+/registry/repositories$`), func() any { return &[]gl.RegistryRepository{} }},
	{regexp.MustCompile(`^/api/v4/(projects/\d+/)?snippets$`), func() any { return &[]gl.Snippet{} }},
	{regexp.MustCompile(`^/api/v4/user$`), func() any { return &gl.User{} }},
}

// official holds a fake GitLab to what GitLab's own client reads: each field of an answer exists
// there, with that type.
func (f *fake) official(path string, answer reply) {
	if f.system != "gitlab" {
		return
	}
	b, err := json.Marshal(answer)
	if err != nil || bytes.Contains(b, []byte("null")) {
		return // of a test of what GitLab does not answer
	}
	for _, x := range gitlabAnswers {
		if !x.path.MatchString(path) {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(x.of()); err != nil {
			f.t.Errorf("the fake's answer to %s is not GitLab's: %v", path, err)
		}
		return
	}
	f.t.Errorf("the fake answers %s, which no request of GitLab's client is for", path)
}
