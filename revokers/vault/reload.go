package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/issuer"
	"github.com/quellhq/quell/rules/credential"
)

const awaitReload = "await-reload"

// reloadTime is the default of Reload.Timeout.
const reloadTime = 2 * time.Minute

// reload waits until the consumers use the new value: the health check that the
// operator names succeeds, or the time that they need has passed.
func (j *job) reload() error {
	w := j.with.Reload
	if w.Zero() {
		return nil
	}
	a := act{
		do:  func(ctx context.Context, fresh *credential.Secret) error { return j.awaitReload(ctx, *fresh) },
		did: func(context.Context, []byte) (revokers.State, error) { return revokers.NotDone, nil },
	}
	a.Name, a.Repeats = awaitReload, true
	a.Effect = revokers.Effect{Method: "WAIT", URL: j.v.Origin(), Header: map[string]string{}, Reads: true}
	a.Note = "waited " + w.Wait.String()
	if w.URL != nil {
		a.Effect.Method, a.Effect.URL = http.MethodGet, w.URL.String()
		a.Where, a.Note = w.URL.String(), "the consumers use the new value"
	}
	if w.AuditLog != "" {
		if w.URL == nil {
			a.Where = "the log of audit device " + strings.Trim(w.Audit, "/")
		}
		a.Note = "the audit log shows that the consumers have the new value"
		a.grants = []Grant{{"sys/audit-hash/" + strings.Trim(w.Audit, "/"), []string{"update"}, "find uses of the new value in the audit log"}}
	}
	j.add(orderReload, a)
	return nil
}

func (j *job) awaitReload(ctx context.Context, fresh credential.Secret) error {
	w := j.with.Reload
	limit := w.Timeout
	if limit == 0 {
		limit = reloadTime
	}
	marker := w.Marker
	if strings.Contains(marker, "{version}") {
		k, err := j.field()
		if err != nil {
			return err
		}
		_, all, err := k.get(ctx)
		if err != nil {
			return err
		}
		marker = strings.ReplaceAll(marker, "{version}", strconv.Itoa(all.VersionMetadata.Version))
	}
	var seen func() (bool, error)
	if w.AuditLog != "" {
		var err error
		if fresh.IsZero() {
			if fresh, err = j.r.Replacement(ctx, j.t); err != nil {
				return err
			}
		}
		if fresh.Equal(j.t.Secret) {
			fresh = credential.Secret{}
		}
		if seen, err = j.observed(ctx, fresh); err != nil {
			return err
		}
	}
	if err := pause(ctx, w.Wait); err != nil {
		return err
	}
	if seen != nil {
		if err := until(ctx, limit, "the audit log shows no consumer with the new value", seen); err != nil {
			return err
		}
	}
	if w.URL == nil {
		return nil
	}
	in := &issuer.Instance{Provider: "health", URL: &url.URL{Scheme: w.URL.Scheme, Host: w.URL.Host}, Operator: true, Settings: map[string]string{}}
	path := w.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	last := "no answer"
	for end := time.Now().Add(limit); ; {
		a, err := j.r.Doer.Do(ctx, in, issuer.Request{Method: http.MethodGet, Path: path, Query: w.URL.Query(), Reads: true})
		switch {
		case err != nil:
			last = "no answer"
		case a.Status != http.StatusOK:
			last = fmt.Sprintf("it answers %d", a.Status)
		case !strings.Contains(string(a.Body), marker):
			last = "its answer lacks the marker"
		default:
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the consumers did not reload within %s: %s %s (hint: reload them, then apply again; nothing was ended)", limit, w.URL.Host, last)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// until asks once a second, for limit at most.
func until(ctx context.Context, limit time.Duration, last string, ask func() (bool, error)) error {
	for end := time.Now().Add(limit); ; {
		switch ok, err := ask(); {
		case err != nil:
			return err
		case ok:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("the consumers did not reload within %s: %s (hint: reload them, then apply again; nothing was ended)", limit, last)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return errors.New("interrupted while it waited for the consumers")
	case <-t.C:
		return nil
	}
}
