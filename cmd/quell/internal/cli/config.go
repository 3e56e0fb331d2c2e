package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
)

// setting is a line of quell config show.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // "default", "--NAME", or the variable
}

func (a *app) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show the settings and where they come from", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("config what? show") }}
	c.AddCommand(&cobra.Command{Use: "show", Short: "Show files, folders and flags, and where each comes from", Args: cobra.NoArgs,
		Long: `Show files, folders and flags, and where each comes from: a flag, a variable of the
environment, or quell's default. Secrets are not shown.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.showConfig(c) }})
	return c
}

func (a *app) showConfig(c *cobra.Command) error {
	rt, err := a.reader()
	if err != nil {
		return err
	}
	var list []setting
	add := func(name, value, origin string) { list = append(list, setting{name, value, origin}) }
	origin := func(flag, env string) string {
		switch {
		case c.Flags().Changed(flag) && !a.fromEnv[flag]:
			return "--" + flag
		case a.getenv(env) != "":
			return env
		}
		return "default"
	}
	file := a.policyFile
	if file == "" {
		file = rt.Dirs.PolicyFile()
	}
	switch _, err := os.Stat(file); {
	case rt.Broken() != nil:
		file += " (can't be read)"
	case err != nil:
		file += " (not there)"
	}
	add("policy", file, origin("policy", "QUELL_POLICY"))
	add("state", ledger.Shown(rt.State()), origin("state", "QUELL_STATE"))
	for _, d := range []struct{ name, dir, env string }{{"state folder", rt.Dirs.State, "XDG_STATE_HOME"}, {"config folder", rt.Dirs.Config, "XDG_CONFIG_HOME"}, {"cache folder", rt.Dirs.Cache, "XDG_CACHE_HOME"}} {
		add(d.name, d.dir, origin("", d.env))
	}
	key := "default"
	if a.getenv("QUELL_FINGERPRINT_KEY") != "" {
		key = "QUELL_FINGERPRINT_KEY"
	}
	add("fingerprint key", "(not shown)", key)
	kills, from := "on", "default"
	switch {
	case a.getenv("QUELL_NO_KILL") != "":
		kills, from = "off", "QUELL_NO_KILL"
	case rt.Policy.Disabled():
		kills, from = "off", "policy"
	}
	add("kills", kills, from)
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "policy" || f.Name == "state" || variable(f) == "" {
			return
		}
		v := f.Value.String()
		if f.Value.Type() == "stringSlice" || f.Value.Type() == "stringArray" {
			v = v[1 : len(v)-1]
		}
		add(f.Name, v, origin(f.Name, variable(f)))
	})
	if a.format == "json" || a.format == "jsonl" {
		return json.NewEncoder(a.out).Encode(list)
	}
	for _, s := range list {
		fmt.Fprintf(a.out, "%-16s %-50s %s\n", s.Name, s.Value, s.Origin)
	}
	return nil
}
