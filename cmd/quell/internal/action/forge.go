package action

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	gh "github.com/google/go-github/v88/github"
	"github.com/klauspost/compress/gzip"

	"github.com/quellhq/quell/scanners/github"
)

// Content reads a file of the repository at a revision from GitHub.
func Content(ctx context.Context, api *github.API, file, at string) ([]byte, error) {
	var out string
	err := api.Again(ctx, func() error {
		c, _, _, err := api.Repositories.GetContents(ctx, api.Owner, api.Repo, file, &gh.RepositoryContentGetOptions{Ref: at})
		if err != nil {
			return err
		}
		if c == nil {
			return errors.New("is a folder")
		}
		out, err = c.GetContent()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", file, at, github.Explain(err))
	}
	return []byte(out), nil
}

// marker is in the one comment that is quell's on a pull request.
const marker = "<!-- quell: this comment is kept up to date -->"

// maxComment is below GitHub's bound on a comment, 65,536 characters.
const maxComment = 65_000

// Comment writes text into quell's comment on a pull request. It creates the comment with the
// first result, and never edits another author's: a marker can be copied.
func Comment(ctx context.Context, api *github.API, number int, text string, needed bool) error {
	me := ""
	if u, _, err := api.Users.Get(ctx, ""); err == nil {
		me = u.GetLogin() // a person's token; a job's own may not ask
	}
	var mine int64
	for c, err := range api.Issues.ListCommentsIter(ctx, api.Owner, api.Repo, number, &gh.IssueListCommentsOptions{ListOptions: gh.ListOptions{PerPage: 100}}) {
		if err != nil {
			return fmt.Errorf("comment: %w", github.Explain(err))
		}
		if strings.HasPrefix(c.GetBody(), marker) && (me != "" && c.GetUser().GetLogin() == me || me == "" && c.GetUser().GetType() == "Bot") {
			mine = c.GetID()
			break
		}
	}
	if mine == 0 && !needed {
		return nil
	}
	body := marker + "\n" + text
	if len(body) > maxComment {
		body = body[:strings.LastIndexByte(body[:maxComment], '\n')] + "\n\nThe rest stands in the job's summary.\n"
	}
	err := api.Again(ctx, func() error {
		var err error
		if mine != 0 {
			_, _, err = api.Issues.EditComment(ctx, api.Owner, api.Repo, mine, &gh.IssueComment{Body: &body})
		} else {
			_, _, err = api.Issues.CreateComment(ctx, api.Owner, api.Repo, number, &gh.IssueComment{Body: &body})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("comment: %w", github.Explain(err))
	}
	return nil
}

// maxSarif is GitHub's bound on an upload, compressed.
// https://docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning
const maxSarif = 10 << 20

// Upload sends a SARIF report to code scanning. Results outside of the repository's files are
// left out, and counted.
func Upload(ctx context.Context, api *github.API, d Decision, workspace, category string, sarif []byte) (left int, err error) {
	if d.SHA == "" || d.Ref == "" {
		return 0, errors.New("sarif: the event has no commit and ref to file it under")
	}
	sarif, left, err = prepare(sarif, workspace, category)
	if err != nil {
		return 0, fmt.Errorf("sarif: %w", err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(sarif)
	if err = errors.Join(err, z.Close()); err != nil {
		return left, fmt.Errorf("sarif: %w", err)
	}
	if packed.Len() > maxSarif {
		return left, fmt.Errorf("sarif: %d bytes compressed, GitHub takes %d", packed.Len(), maxSarif)
	}
	text := base64.StdEncoding.EncodeToString(packed.Bytes())
	err = api.Again(ctx, func() error {
		_, _, err := api.CodeScanning.UploadSarif(ctx, api.Owner, api.Repo, &gh.SarifAnalysis{CommitSHA: &d.SHA, Ref: &d.Ref, Sarif: &text, ToolName: gh.Ptr("quell")})
		return err
	})
	if err != nil {
		return left, fmt.Errorf("sarif: %w", github.Explain(err))
	}
	return left, nil
}

// prepare makes of a report what code scanning takes: results in files of the
// repository alone, each with the hash that distinguishes alerts.
func prepare(sarif []byte, workspace, category string) ([]byte, int, error) {
	var doc map[string]any
	if err := json.Unmarshal(sarif, &doc); err != nil {
		return nil, 0, err
	}
	runs, _ := doc["runs"].([]any)
	left := 0
	type where struct {
		result map[string]any
		line   int
	}
	byFile := map[string][]where{}
	for _, x := range runs {
		run, _ := x.(map[string]any)
		if run == nil {
			continue
		}
		run["automationDetails"] = map[string]any{"id": "quell/" + category + "/"}
		results, _ := run["results"].([]any)
		kept := []any{}
		for _, x := range results {
			result, _ := x.(map[string]any)
			file, line := first(result)
			if file == "" {
				left++
				continue
			}
			kept = append(kept, result)
			byFile[file] = append(byFile[file], where{result, line})
		}
		run["results"] = kept
	}
	root, err := os.OpenRoot(workspace)
	if err == nil {
		defer root.Close()
		for file, list := range byFile {
			f, err := root.Open(filepath.FromSlash(file))
			if err != nil {
				continue // of another commit: GitHub does without
			}
			want := map[int]bool{}
			for _, w := range list {
				want[w.line] = true
			}
			hashes, err := LineHashes(f, want)
			_ = f.Close()
			if err != nil {
				continue
			}
			for _, w := range list {
				if h := hashes[w.line]; h != "" {
					prints, _ := w.result["partialFingerprints"].(map[string]any)
					if prints == nil {
						prints = map[string]any{}
						w.result["partialFingerprints"] = prints
					}
					prints["primaryLocationLineHash"] = h
				}
			}
		}
	}
	out, err := json.Marshal(doc)
	return out, left, err
}

// first returns the place of a result, if that is a file of the repository.
func first(result map[string]any) (file string, line int) {
	props, _ := result["properties"].(map[string]any)
	if in, _ := props["inRepository"].(bool); !in {
		return "", 0
	}
	list, _ := result["locations"].([]any)
	if len(list) == 0 {
		return "", 0
	}
	at, _ := list[0].(map[string]any)
	at, _ = at["physicalLocation"].(map[string]any)
	artifact, _ := at["artifactLocation"].(map[string]any)
	region, _ := at["region"].(map[string]any)
	uri, _ := artifact["uri"].(string)
	start, _ := region["startLine"].(float64)
	file, err := url.PathUnescape(uri)
	if err != nil || file != path.Clean(file) || !filepath.IsLocal(filepath.FromSlash(file)) {
		return "", 0
	}
	return file, int(start)
}
