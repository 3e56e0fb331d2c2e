package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/cmd/quell/internal/serve"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

func (a *app) serve() *cobra.Command {
	var file, listen, kills string
	var check, dryRun bool
	c := &cobra.Command{Use: "serve", Short: "Scan whole organisations, on a schedule and when webhooks report something new", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		if kills != "" {
			return a.setKills(c.Context(), kills)
		}
		if file == "" {
			return errors.New("serve: --config FILE has what is scanned (hint: docs/serve.md has an example)")
		}
		if a.offline {
			return errors.New("serve asks issuers; leave out --offline")
		}
		cfg, err := serve.LoadConfig(file)
		if err != nil {
			return err
		}
		doer := run.NewDoer()
		o := serve.Options{
			Config: cfg, Doer: doer, Listen: listen, State: a.state, Version: Version(), Getenv: a.getenv, Redactor: a.red,
			Runtime: func(offline bool, red *report.Redactor, own []rules.Secret) (*run.Runtime, error) {
				return run.New(run.Options{
					Getenv: a.getenv, Policy: a.policyFile, State: a.state, Rules: a.ruleFiles, Recipients: a.recipients, Identity: a.identity,
					NeedsSecrets: !offline && cfg.Kills(), Offline: offline, NoSelfHosted: a.noSelfHosted, ProbeTime: a.probeTime, Redactor: red, Doer: doer, Own: own,
				})
			},
			Memory: func(rt *run.Runtime, l *ledger.Ledger) (scanners.Memory, error) { return a.memoryIn(rt, l) },
			Log:    slog.New(slog.NewTextHandler(lines{a}, nil)),
			Ready: func(address string) {
				if address == "" {
					a.printf("serve: %s, no HTTP server", filepath.Base(file))
					return
				}
				a.printf("serve: %s, http://%s", filepath.Base(file), address)
			},
		}
		if check {
			if err := serve.Check(o); err != nil {
				return err
			}
			a.printf("%s: %s, %s", file, report.Count(int64(len(cfg.Target)), "target"), report.Count(int64(len(cfg.Notify)), "webhook"))
			return nil
		}
		if dryRun {
			return serve.Rehearse(o, a.out)
		}
		return serve.Run(c.Context(), o)
	}}
	c.Long = `Scan the targets of a configuration file, on a schedule and when webhooks report something
new, until the process is stopped. It kills nothing unless the file has apply = true.
Incidents, approvals and metrics are at --listen. docs/serve.md has the file's keys.`
	f := c.Flags()
	f.StringVar(&file, "config", "", "`FILE` of targets, schedules and webhooks; docs/serve.md has its keys")
	f.StringVar(&listen, "listen", "127.0.0.1:8471", "`ADDRESS` for the web page, the API, webhooks, health and metrics; empty: none")
	f.BoolVar(&dryRun, "dry-run", false, "print the messages for the webhooks of notify, send nothing, and exit")
	f.StringVar(&kills, "kills", "", "`off` stops the kills of all processes that use the database of --state, on permits them again; then exit")
	f.BoolVar(&check, "check", false, "read the configuration and the files and variables that it names, then exit")
	return c
}

// setKills turns the switch in the database of --state.
func (a *app) setKills(ctx context.Context, to string) error {
	if to != "on" && to != "off" {
		return fmt.Errorf("serve: --kills %s: on or off", to)
	}
	rt, err := a.reader()
	if err != nil {
		return err
	}
	st, err := serve.Store(ctx, rt.State())
	if err != nil {
		return err
	}
	if st == nil {
		return fmt.Errorf("%s has no tables of quell serve (hint: --state names the database of the processes)", ledger.Shown(rt.State()))
	}
	defer st.Close()
	if err := st.SetKills(ctx, to == "on", rt.Actor()); err != nil {
		return err
	}
	a.printf("serve: kills are %s in %s", to, ledger.Shown(rt.State()))
	return nil
}

// lines writes a log to standard error, redacted.
type lines struct{ a *app }

// Write implements io.Writer. Each call is one line.
func (l lines) Write(b []byte) (int, error) {
	if !l.a.quiet {
		if _, err := l.a.err.Write([]byte(l.a.red.String(string(b)))); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
