package oci

import (
	"context"
	"maps"
	"path"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// Attribution implements scanners.Session: images are known once all were read.
func (s *session) Attribution(rules.Location) scanners.Attribution { return scanners.Late }

// Attribute adds to findings the layer's position, the command that created it, and what a
// later layer did to the file. Findings in documents get the path of their field.
func (s *session) Attribute(_ context.Context, findings []*rules.Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range findings {
		if d := s.documents[f.Location.Artifact]; d != nil {
			if at := fieldAt(d.raw, f.Location.Offset); at != "" {
				f.Location.Notes = maps.Clone(f.Location.Notes)
				if f.Location.Notes == nil {
					f.Location.Notes = map[string]string{}
				}
				f.Location.Notes["field"] = at
			}
			continue
		}
		id, err := v1.NewHash(f.Location.Layer)
		have := s.layers[id]
		if err != nil || have == nil {
			continue
		}
		n := maps.Clone(f.Location.Notes)
		if n == nil {
			n = map[string]string{}
		}
		if len(have.uses) == 0 {
			continue
		}
		u := have.uses[0]
		n["layer_index"] = strconv.Itoa(u.index)
		if u.createdBy != "" {
			n["created_by"] = u.createdBy
		}
		if u.platform != "" {
			n["platform"] = u.platform
		}
		if u.name != "" {
			n["image"] = u.name
		}
		if len(have.uses) > 1 {
			n["images"] = strconv.Itoa(len(have.uses))
		}
		for _, above := range u.above {
			if how := s.layers[above].gone(f.Location.Path); how != "" {
				n[how] = "by layer " + above.String()
				break
			}
		}
		f.Location.Notes = n
	}
	return nil
}

func (l *layer) gone(file string) string {
	if l == nil {
		return ""
	}
	// Nested content shares the fate of its file. A file name can contain "!" too.
	outer, _, inside := strings.Cut(file, "!")
	if inside && !l.whiteout["="+file] && !l.whiteout[file] {
		file = outer
	}
	if l.whiteout["="+file] {
		return "overwritten"
	}
	for p := file; p != "." && p != "/"; p = path.Dir(p) {
		if l.whiteout[p] || l.whiteout[path.Dir(p)+"/"] {
			return "deleted"
		}
	}
	return ""
}
