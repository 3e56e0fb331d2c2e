package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// The linker sets these for a release (.goreleaser.yaml).
var (
	version string
	commit  string // 40 hex digits; ends with "-dirty" if the sources were changed since
	date    string // of the commit, RFC 3339
)

// buildInfo is what quell version prints. Commit and Date are empty if the build does
// not contain them.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"` // of the commit, RFC 3339
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// build reads a release's facts, or the module's as the build recorded them.
func build() buildInfo {
	b := buildInfo{Version: version, Commit: commit, Date: date, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.time" && b.Date == "":
			b.Date = s.Value
		case s.Key == "vcs.modified" && commit == "":
			b.Modified = s.Value == "true"
		}
	}
	if at, dirty := strings.CutSuffix(b.Commit, "-dirty"); dirty {
		b.Commit, b.Modified = at, true
	}
	return b
}

// Version is the release's, or the module's as the build recorded it.
func Version() string { return build().Version }

func (a *app) version() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "version", Short: "Print the version, with its commit and date", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		b := build()
		if asJSON || a.format == "json" || a.format == "jsonl" {
			return json.NewEncoder(a.out).Encode(b)
		}
		s := "quell " + b.Version
		if b.Commit != "" {
			s += ", commit " + b.Commit[:min(12, len(b.Commit))]
			if b.Modified {
				s += " and changes"
			}
		}
		if b.Date != "" {
			s += ", " + b.Date
		}
		fmt.Fprintf(a.out, "%s, %s %s/%s\n", s, b.Go, b.OS, b.Arch)
		return nil
	}}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
