package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/notify"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/rules"
)

// messages are the jobs that report an event, one for each webhook: one that fails is tried
// again without the others.
func (s *Server) messages(fingerprint, event string) (out []river.InsertManyParams) {
	for _, n := range s.o.Config.Notify {
		if len(n.On) == 0 || slices.Contains(n.On, event) {
			out = append(out, job(NotifyArgs{Hook: n.Name, Event: event, Fingerprint: fingerprint}, queueNotify, urgent))
		}
	}
	return out
}

// readHooks reads the addresses of the webhooks.
func (s *Server) readHooks() error {
	s.hooks = map[string]notify.Hook{}
	for _, n := range s.o.Config.Notify {
		h, err := notify.Read(n.URL, func(ref string) (rules.Secret, error) { return config.ReadSecret(ref, s.o.Getenv) })
		if err != nil {
			return fmt.Errorf("notify %s: %w", n.Name, err)
		}
		for _, secret := range h.Secrets() {
			s.knows(secret)
		}
		s.hooks[n.Name] = h
	}
	return nil
}

// notify sends a message.
func (s *Server) notify(ctx context.Context, a NotifyArgs, red *report.Redactor) error {
	h, ok := s.hooks[a.Hook]
	if !ok {
		return river.JobCancel(errors.New("the configuration no longer has this webhook"))
	}
	c, err := s.store.Credential(ctx, a.Fingerprint)
	if errors.Is(err, store.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.Send(ctx, red.String(text(c, a.Event)))
}

// text is the message about an event.
func text(c store.Credential, event string) string {
	what := strings.TrimSpace(c.Rule + " " + c.Redacted)
	where := fmt.Sprintf("%s, at %s", c.Target, report.Count(c.Exposures, "place"))
	if c.Public {
		where += ", readable by everyone"
	}
	next := "\nquell ledger " + short(c.Fingerprint) + " has its history."
	switch event {
	case EventEnded:
		return fmt.Sprintf("quell: %s is dead: %s. It leaked in %s.", what, c.Outcome, where) + next
	case EventLeft:
		why := ""
		if c.Detail != "" {
			why = ": " + c.Detail
		}
		return fmt.Sprintf("quell: %s was not ended: %s%s. It leaked in %s.", what, c.Outcome, why, where) + next
	}
	return fmt.Sprintf("quell: a leaked credential is live: %s, accepted by %s. It leaked in %s.", what, c.Host, where) + next
}
