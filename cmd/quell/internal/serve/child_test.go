//go:build unix

package serve

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// child serves the configuration in home until it is killed.
func child(home string) int {
	c, err := LoadConfig(filepath.Join(home, "serve.toml"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	state := os.Getenv("QUELL_TEST_STATE")
	if state == "" {
		state = filepath.Join(home, "ledger.db")
	}
	doer := run.NewDoer()
	err = Run(context.Background(), Options{
		Config: c, Doer: doer, Listen: os.Getenv("QUELL_TEST_LISTEN"), State: state, Version: "test", Getenv: os.Getenv, Redactor: report.NewRedactor(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Tick: 300 * time.Millisecond,
		Ready: func(address string) {
			file := filepath.Join(home, "ready") // renamed, so that it is never read before its address is in it
			_ = os.WriteFile(file+".new", []byte(address), 0o600)
			_ = os.Rename(file+".new", file)
		},
		Runtime: func(offline bool, red *report.Redactor, own []rules.Secret) (*run.Runtime, error) {
			return run.New(run.Options{Getenv: os.Getenv, Policy: filepath.Join(home, "policy.toml"), State: state, Offline: offline, NeedsSecrets: !offline, Redactor: red, Doer: doer, Own: own})
		},
		Memory: func(rt *run.Runtime, l *ledger.Ledger) (scanners.Memory, error) {
			return l.Memory("test", rt.Keys.Fingerprint[:], nil)
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	return 0
}
