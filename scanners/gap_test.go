package scanners

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"testing"
)

func TestEveryKindOfGapIsAnIdentifier(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range GapKinds() {
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(k) || seen[k] {
			t.Errorf("%q", k)
		}
		seen[k] = true
	}
}

func TestTheKindOfAGapFollowsFromItsError(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"an error with a kind", OfKind(GapDamaged, errors.New("x")), GapDamaged},
		{"an error with a kind, wrapped", fmt.Errorf("zip: %w", OfKind(GapEncrypted, errors.New("x"))), GapEncrypted},
		{"one of several joined errors has a kind", errors.Join(errors.New("x"), OfKind(GapLimitBytes, errors.New("y"))), GapLimitBytes},
		{"no permission", &fs.PathError{Op: "open", Path: "a", Err: fs.ErrPermission}, GapDenied},
		{"no such file", fmt.Errorf("x: %w", fs.ErrNotExist), GapMissing},
		{"a run that was interrupted", context.Canceled, GapInterrupted},
		{"any other error", errors.New("input/output error"), GapUnreadable},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%s: %s, not %s", c.name, got, c.want)
		}
	}
	if OfKind(GapDamaged, nil) != nil {
		t.Error("no error has a kind")
	}
}
