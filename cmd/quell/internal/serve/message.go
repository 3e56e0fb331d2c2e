package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

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

// sender is a webhook with the form of its messages.
type sender struct {
	notify.Hook
	kind   notify.Kind
	secret rules.Secret // signs them; may be empty
}

// readHooks reads the addresses and secrets of the webhooks.
func (s *Server) readHooks() error {
	s.hooks = map[string]sender{}
	for _, n := range s.o.Config.Notify {
		h, err := notify.Read(n.URL, func(ref string) (rules.Secret, error) { return config.ReadSecret(ref, s.o.Getenv) })
		if err != nil {
			return fmt.Errorf("notify %s: %w", n.Name, err)
		}
		for _, secret := range h.Secrets() {
			s.knows(secret)
		}
		x := sender{Hook: h, kind: cmp.Or(notify.Kind(n.Kind), notify.Text)}
		if x.secret, err = config.ReadSecret(n.Secret, s.o.Getenv); err != nil {
			return fmt.Errorf("notify %s: secret: %w", n.Name, err)
		}
		if !x.secret.IsZero() {
			s.knows(x.secret)
		}
		s.hooks[n.Name] = x
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
	body, header, err := h.message(s.message(c, a.Event, red.String), time.Now())
	if err != nil {
		return err
	}
	return h.Post(ctx, body, header)
}

// message is a message in the form of the webhook, with its headers.
func (h sender) message(m notify.Message, now time.Time) (body []byte, header map[string]string, err error) {
	if body, err = m.Body(h.kind); err != nil || h.secret.IsZero() {
		return body, nil, err
	}
	return body, map[string]string{"Quell-Event": m.Event, notify.SignatureHeader: notify.Sign(h.secret, now, body)}, nil
}

// message is what is reported about an event.
func (s *Server) message(c store.Credential, event string, red func(string) string) notify.Message {
	m := notify.Message{Event: event, Text: red(text(c, event)), At: time.Now()}
	for _, f := range []notify.Fact{
		{Name: "Fingerprint", Value: c.Fingerprint}, {Name: "Rule", Value: c.Rule}, {Name: "Credential", Value: c.Redacted}, {Name: "Target", Value: c.Target},
		{Name: "Issuer", Value: c.Host}, {Name: "State", Value: c.State}, {Name: "Outcome", Value: c.Outcome}, {Name: "Places", Value: fmt.Sprint(c.Exposures)},
	} {
		if f.Value != "" {
			m.Facts = append(m.Facts, notify.Fact{Name: f.Name, Value: red(report.Clean(f.Value))})
		}
	}
	if w := s.o.Config.Web; w != nil && w.URL != "" {
		m.URL = strings.TrimSuffix(w.URL, "/") + "/incidents/" + c.Fingerprint
	}
	return m
}

// Rehearse writes what the configuration's webhooks would be sent about a made-up incident, and
// sends nothing.
func Rehearse(o Options, w io.Writer) error {
	s := &Server{o: o}
	if err := s.readHooks(); err != nil {
		return err
	}
	c := store.Credential{Fingerprint: strings.Repeat("0123456789abcdef", 4), Rule: "github-pat", Provider: "github", Redacted: "ghp_…4711", Target: o.Config.Target[0].Name, Exposures: 2, Public: true, State: "live", Host: "api.github.com"}
	for _, n := range o.Config.Notify {
		h := s.hooks[n.Name]
		fmt.Fprintf(w, "notify %s: POST to %s as %s\n", n.Name, h.Hook, h.kind)
		for _, event := range events {
			if len(n.On) > 0 && !slices.Contains(n.On, event) {
				continue
			}
			x := c
			switch event {
			case EventEnded:
				x.State, x.Outcome = "dead", "Confirmed"
			case EventLeft:
				x.Outcome, x.Detail = "Held", "kill.max: 25 kills in 24 hours"
			}
			body, header, err := h.message(s.message(x, event, o.Redactor.String), time.Now())
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s: %s\n", event, body)
			for _, name := range slices.Sorted(maps.Keys(header)) {
				fmt.Fprintf(w, "  %s: %s\n", name, header[name])
			}
		}
	}
	return nil
}

// text is the message about an event.
func text(c store.Credential, event string) string {
	// An issuer's message must not add lines that look like ours.
	c.Rule, c.Redacted, c.Target, c.Host, c.Outcome, c.Detail = report.Clean(c.Rule), report.Clean(c.Redacted), report.Clean(c.Target), report.Clean(c.Host), report.Clean(c.Outcome), report.Clean(c.Detail)
	what := strings.TrimSpace(c.Rule + " " + c.Redacted)
	where := fmt.Sprintf("%s, at %s", c.Target, report.Count(c.Exposures, "place"))
	if c.Public {
		where += ", readable by everyone"
	}
	next := "\nquell ledger " + short(c.Fingerprint) + " has its history."
	switch event {
	case EventEnded:
		return fmt.Sprintf("quell: %s is dead: %s. It leaked in %s.", what, c.Outcome, where) + next
	case EventPlan:
		return fmt.Sprintf("quell: a plan to end %s waits for approval. It leaked in %s.", what, where) + next
	case EventLeft:
		why := ""
		if c.Detail != "" {
			why = ": " + c.Detail
		}
		return fmt.Sprintf("quell: %s was not ended: %s%s. It leaked in %s.", what, c.Outcome, why, where) + next
	}
	return fmt.Sprintf("quell: a leaked credential is live: %s, accepted by %s. It leaked in %s.", what, c.Host, where) + next
}
