package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/demo"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/revokers/prove"
)

func (a *app) demo() *cobra.Command {
	var keep bool
	c := &cobra.Command{Use: "demo", Short: "Show the whole process: leak live sessions on this machine, find them, kill them, prove it", Args: cobra.NoArgs,
		Long: `Start an OpenID provider and a web application on loopback, let live sessions
of both leak into a CI log, a git history and a container image, and run quell's
own commands on them. Nothing leaves this machine, and nothing stays on it.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.runDemo(c.Context(), keep) }}
	c.Flags().BoolVar(&keep, "keep", false, "keep the folder with the log, the repository, the image and the ledger")
	return c
}

func (a *app) runDemo(ctx context.Context, keep bool) error {
	dir, err := os.MkdirTemp("", "quell-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	scene, err := demo.Prepare(ctx, dir)
	if err != nil {
		return err
	}
	env := map[string]string{"XDG_STATE_HOME": filepath.Join(dir, "state"), "XDG_CONFIG_HOME": filepath.Join(dir, "config")}
	for k, v := range scene.Env {
		env[k] = v
	}
	show := func(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }
	run := func(want int, args ...string) error {
		shown := strings.ReplaceAll(strings.Join(args, " "), dir+"/", "")
		show("\n$ quell %s", shown)
		code := Run(ctx, append(args, "--policy", scene.Policy), a.in, a.out, a.out, func(k string) string { return env[k] })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if code != want {
			return fmt.Errorf("demo: quell %s ended with %d, not %d", args[0], code, want)
		}
		return nil
	}
	show("%s", a.style(a.out, report.Show{}).Wrap(0, 0, "An OpenID provider and a web application run on loopback. Three live sessions have just leaked: into a CI log, into a git history (removed one commit later), and into a container image (removed one layer later)."))
	file := func(n string) string { return filepath.Join(dir, n+".jsonl") }
	plan := filepath.Join(dir, "plan.json")
	steps := []struct {
		want int
		args []string
	}{
		{exitFindings, []string{"scan", "log", scene.Log, "--report", "jsonl=" + file("log")}},
		{exitFindings, []string{"scan", "git", scene.Repo, "--report", "jsonl=" + file("git")}},
		{exitFindings, []string{"scan", "image", scene.Image, "--report", "jsonl=" + file("image")}},
		{exitClean, []string{"plan", file("log"), file("git"), file("image"), "--output", plan}},
		{exitClean, []string{"apply", plan}},
	}
	for _, s := range steps {
		if err := run(s.want, s.args...); err != nil {
			return err
		}
	}
	led, err := ledger.Open(ctx, filepath.Join(dir, "state", "quell", "ledger.db"), ledger.Options{})
	if err != nil {
		return err
	}
	defer led.Close()
	show("\n$ quell ledger   (each incident's history)")
	order := []string{}
	stories := map[string][]ledger.Entry{}
	for e, err := range led.All(ctx) {
		if err != nil {
			return err
		}
		if e.Incident == "" {
			continue
		}
		if stories[e.Incident] == nil {
			order = append(order, e.Incident)
		}
		stories[e.Incident] = append(stories[e.Incident], e)
	}
	confirmed := 0
	for _, id := range order {
		show("")
		History(a.out, a.style(a.out, report.Show{}), stories[id])
		last := stories[id][len(stories[id])-1]
		if o, ok := last.Body.(ledger.Outcome); ok && o.Outcome == ledger.Word(prove.Confirmed) {
			confirmed++
			show("             from the leak to Confirmed: %.1f s", last.At.Sub(scene.Leaked).Seconds())
		}
	}
	if err := run(exitClean, "recheck"); err != nil {
		return err
	}
	if confirmed != len(order) || confirmed < 3 {
		return errors.New("demo: not every leaked credential was proven dead")
	}
	show("\n%d of %d leaked credentials are proven dead, %.1f s after they leaked.", confirmed, len(order), time.Since(scene.Leaked).Seconds())
	if keep {
		show("Everything is kept in %s", dir)
	}
	return nil
}
