package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/output"
	"github.com/quellhq/quell/scanners/git"
)

// hookMark is in the hooks that quell made.
const hookMark = "# Made by quell hook install."

func (a *app) hook() *cobra.Command {
	c := &cobra.Command{Use: "hook", Short: "Manage a git hook that scans staged changes before each commit", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return errors.New("hook what? install, uninstall or run") }}
	var dir string
	install := &cobra.Command{Use: "install", Short: "Install the repository's pre-commit hook", Args: cobra.NoArgs,
		Long: `Install a hook that runs quell hook run before each commit, in the repository's hooks folder
or that of core.hooksPath. If there is a hook of somebody else's, quell leaves it as it is
and prints the line to add to it.`, RunE: func(*cobra.Command, []string) error { return a.hookInstall(dir) }}
	uninstall := &cobra.Command{Use: "uninstall", Short: "Remove the hook that quell installed", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return a.hookUninstall(dir) }}
	for _, x := range []*cobra.Command{install, uninstall} {
		x.Flags().StringVar(&dir, "repository", "", "the repository at `DIR` (default $GIT_DIR, or the one here)")
	}
	run := &cobra.Command{Use: "run", Short: "Scan staged changes, as the hook does: ask no issuer, and print nothing if nothing is found", Args: cobra.NoArgs,
		Long: `Scan staged changes, as the hook does: ask no issuer, and print nothing if nothing is found.

Every finding that is shown stops the commit, unless you set --fail-on. To commit a line
that contains no secret, add quell:allow to it.`,
		RunE: func(c *cobra.Command, _ []string) error {
			a.git.staged, a.offline, a.silent = true, true, true
			if !c.Flags().Changed("fail-on") {
				a.failOn = "found"
			}
			rt, err := a.runtime(mayLackSecrets)
			if err != nil {
				return err
			}
			a.git.top = "."
			src, err := a.openGit(rt, []string{a.repository(".")})
			if err != nil {
				return err
			}
			// A commit that is fine is made in silence.
			out := a.out
			var kept bytes.Buffer
			if a.output == "-" {
				a.out = &kept
			}
			err = a.runScan(c.Context(), rt, "hook run", []string{"."}, src)
			if err != nil {
				_, _ = out.Write(kept.Bytes())
				var code exit
				if errors.As(err, &code) && int(code) == exitFindings {
					a.printf("the commit is stopped; a line that holds no secret is marked with quell:allow")
				}
			}
			return err
		}}
	c.AddCommand(install, uninstall, run)
	return c
}

// hookFile returns the path of a repository's pre-commit hook. A setting by which git uses
// hooks of another folder is an error that names it.
func hookFile(dir string) (string, error) {
	store, err := git.FindDir(dir)
	if err != nil {
		return "", fmt.Errorf("%s: %w (hint: run it in a git repository, or name one with --repository DIR)", dir, err)
	}
	for _, scope := range []func() (*config.Config, error){
		func() (*config.Config, error) {
			f, err := os.Open(filepath.Join(store, "config"))
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return config.ReadConfig(f)
		},
		func() (*config.Config, error) { return config.LoadConfig(config.GlobalScope) },
		func() (*config.Config, error) { return config.LoadConfig(config.SystemScope) },
	} {
		c, err := scope()
		if err != nil || c.Raw == nil {
			continue
		}
		if p := c.Raw.Section("core").Option("hooksPath"); p != "" {
			if filepath.Base(p) == "_" { // husky's own files, which it makes again
				return "", fmt.Errorf("husky makes the hooks in %s (hint: add the line quell hook run to %s)", p, filepath.ToSlash(filepath.Join(filepath.Dir(p), "pre-commit")))
			}
			return "", fmt.Errorf("core.hooksPath leads git to %s (hint: add the line quell hook run to the pre-commit hook there)", p)
		}
	}
	file := filepath.Join(store, "hooks", "pre-commit")
	// The target of a link may be shared with other repositories.
	for _, p := range []string{filepath.Dir(file), file} {
		if info, err := os.Lstat(p); err == nil && info.Mode()&os.ModeSymlink != 0 {
			return "", fmt.Errorf("%s is a link: put the line \"quell hook run\" into the pre-commit hook that it leads to", p)
		}
	}
	return file, nil
}

// repository returns the repository that git names in GIT_DIR, if it is not the .git folder of
// a work tree; else the one at dir.
func (a *app) repository(dir string) string {
	if d := a.getenv("GIT_DIR"); d != "" {
		if _, err := git.FindDir(d); err == nil {
			return d
		}
	}
	return dir
}

func (a *app) hookInstall(dir string) error {
	file, err := hookFile(cmp.Or(dir, a.repository(".")))
	if err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	if b, err := os.ReadFile(file); err == nil && !strings.Contains(string(b), hookMark) {
		return fmt.Errorf("hook: %s is there already (hint: %s)", file, integrationHint(string(b)))
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	text := "#!/bin/sh\n" + hookMark + "\nexec '" + strings.ReplaceAll(filepath.ToSlash(exe), "'", `'\''`) + "' hook run\n"
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	if err := output.WriteFile(file, []byte(text), 0o755); err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	a.printf("%s looks at what is staged from now on", file)
	return nil
}

// integrationHint is how a hook that is there already runs quell too.
func integrationHint(hook string) string {
	switch {
	case strings.Contains(hook, "lefthook"):
		return "add a job with run: quell hook run to pre-commit in lefthook.yml"
	case strings.Contains(hook, "pre-commit.com"):
		return "add quell to .pre-commit-config.yaml; docs/hooks.md has the lines"
	}
	return "add the line quell hook run to it"
}

func (a *app) hookUninstall(dir string) error {
	file, err := hookFile(cmp.Or(dir, a.repository(".")))
	if err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), hookMark) {
		return fmt.Errorf("hook: %s is none that quell made", file)
	}
	if err := os.Remove(file); err != nil {
		return fmt.Errorf("hook: %w", err)
	}
	a.printf("%s is gone", file)
	return nil
}
