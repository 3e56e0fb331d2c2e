package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha1" // the digest that detect-secrets keeps
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/foreign"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/detect"
)

// maxImport is the largest report of another scanner that is read, in bytes.
const maxImport = 1 << 30

// fromForeign reads a report of another scanner.
func (a *app) fromForeign(rt *run.Runtime, name string, r io.Reader) ([]rules.Credential, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > maxImport {
		return nil, fmt.Errorf("%s: the report is larger than 1 GiB (hint: scan the target itself)", name)
	}
	scanner, entries, err := foreign.Read(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	x := importer{rt: rt, engine: detect.New(rt.Rules), skipped: map[string]int{}, unknown: map[string]int{}}
	for _, e := range entries {
		x.add(e)
	}
	for _, why := range slices.Sorted(maps.Keys(x.skipped)) {
		n := x.skipped[why]
		a.unread += n
		rt.Unread(report.Notice{Kind: scanners.GapUnsupported, Path: name, Count: int64(n), Message: fmt.Sprintf("%s: %s of %s left out: %s", name, report.Count(int64(n), "entry"), scanner, why)})
	}
	for _, id := range slices.Sorted(maps.Keys(x.unknown)) {
		rt.Notice(fmt.Sprintf("%s: %s of %s %q, which no rule of quell's is about: nothing can be asked about them", name, report.Count(int64(x.unknown[id]), "value"), scanner, id))
	}
	if len(x.found) == 0 {
		return nil, nil
	}
	return run.Credentials(x.found, rt.Keys.Fingerprint, rt.Rules)
}

// importer converts the entries of other scanners' reports to findings.
type importer struct {
	rt      *run.Runtime
	engine  scanners.Detector
	found   []rules.Finding
	skipped map[string]int // by the reason
	unknown map[string]int // by the other scanner's rule
}

// Reasons for leaving an entry out.
const (
	skipRedacted = "the report masks the value; make it again without redaction, or scan the target with quell"
	skipNoText   = "the report has no value, and the line that it names is not below this folder or has changed; run quell in the folder that was scanned"
)

func (x *importer) add(e foreign.Entry) {
	loc := rules.Location{Source: "report", Path: cmp.Or(e.Path, "-"), Line: max(e.Line, 1), Column: max(e.Column, 1), Commit: e.Commit}
	if len(e.Values) == 0 {
		x.fromFile(e, loc)
		return
	}
	values := slices.DeleteFunc(slices.Clone(e.Values), foreign.Redacted)
	if len(values) == 0 {
		x.skipped[skipRedacted]++
		return
	}
	n := len(x.found)
	about := func(s, v string) bool { return strings.Contains(s, v) || strings.Contains(v, s) }
	known := func(v string) bool {
		return slices.ContainsFunc(x.found[n:], func(f rules.Finding) bool { return about(f.Secret.Reveal(), v) })
	}
	x.detect(e.Context, loc, func(s string) bool {
		return slices.ContainsFunc(values, func(v string) bool { return about(s, v) })
	})
	for _, v := range values {
		if !known(v) {
			x.detect(v, loc, func(s string) bool { return about(s, v) })
		}
		if !known(v) {
			x.named(e, v, loc)
		}
	}
}

// detect adds what quell finds in a text and accepts.
func (x *importer) detect(text string, loc rules.Location, accepts func(string) bool) {
	b := []byte(text)
	for m := range x.engine.Detect(scanners.Chunk{Artifact: &scanners.Artifact{Location: loc}, Data: b, Line: 1, Column: 1, To: len(b)}) {
		f := m.Finding()
		if !f.Partial && accepts(f.Secret.Reveal()) {
			f.Location = loc
			x.found = append(x.found, f)
		}
	}
}

// named adds a value that quell does not detect in the text, if quell has a rule with the id of
// the other scanner's rule.
func (x *importer) named(e foreign.Entry, value string, loc rules.Location) {
	s := rules.NewSecretString(value)
	f := rules.Finding{Ref: rules.Ref{Rule: e.Rule, Kind: rules.KindOther, Confidence: rules.Medium, Offline: rules.Offline{State: rules.OfflineUnknown}}, Secret: s, Location: loc}
	f.Redacted = s.Hint()
	if r := x.rt.Rules.Rule(e.Rule); r != nil {
		f.Kind, f.Confidence = r.Kind, r.Confidence
		if r.Provider != nil {
			f.Provider = r.Provider.ID
		}
	} else {
		x.unknown[e.Rule]++
	}
	x.found = append(x.found, f)
}

// fromFile finds the value of an entry that has none, in the line of the file that the entry
// names, if that file is below the working folder. A digest in the entry selects the value.
func (x *importer) fromFile(e foreign.Entry, loc rules.Location) {
	line, err := localLine(e.Path, e.Line)
	if err != nil {
		x.skipped[skipNoText]++
		return
	}
	accepts := func(string) bool { return true }
	if e.SHA1 != "" {
		accepts = func(s string) bool { return begins(s, e.SHA1) }
	}
	n := len(x.found)
	if x.detect(line, loc, accepts); len(x.found) > n {
		return
	}
	if e.SHA1 != "" {
		if v := preimage(line, e.SHA1); v != "" {
			x.named(e, v, loc)
			return
		}
	}
	x.skipped[skipNoText]++
}

func digest(s string) string {
	h := sha1.Sum([]byte(s))
	return hex.EncodeToString(h[:])
}

// maxBegins bounds the length of the values whose beginnings are digested, in bytes.
const maxBegins = 8 << 10

// begins reports whether the digest is of s or of what s begins with: detect-secrets 1.5 digests
// the first group of a rule's expression, such as ghp of a token of GitHub and a JWT without its
// signature.
func begins(s, sum string) bool {
	if digest(s) == sum {
		return true
	}
	for i := range s[:min(len(s), maxBegins)] {
		if i > 0 && digest(s[:i]) == sum {
			return true
		}
	}
	return false
}

// preimage returns the part of a line, between delimiters, whose digest is sum.
func preimage(line, sum string) string {
	for _, cut := range []string{"\"'`", " \t\"'`", " \t\"'`=:,;()<>[]{}", " \t\"'`=:,;()<>[]{}@/"} {
		for _, part := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(cut, r) }) {
			if digest(part) == sum {
				return part
			}
		}
	}
	return ""
}

// maxLine is the longest line that is looked up, in bytes.
const maxLine = 1 << 20

// localLine reads a line of a file below the working folder.
func localLine(path string, n int) (string, error) {
	path = filepath.FromSlash(strings.TrimPrefix(path, "file://"))
	if !filepath.IsLocal(path) || n < 1 {
		return "", errors.New("not below the working folder")
	}
	root, err := os.OpenRoot(".")
	if err != nil {
		return "", err
	}
	defer root.Close()
	f, err := root.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.New("no file")
	}
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	for ; sc.Scan(); n-- {
		if n == 1 {
			return string(bytes.TrimRight(sc.Bytes(), "\r")), nil
		}
	}
	return "", errors.New("no such line")
}
