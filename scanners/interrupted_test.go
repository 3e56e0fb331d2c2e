package scanners

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// The reader's context may be cancelled shortly before the run's. Only an interruption of the
// run is none of the things that could not be read.
func TestInterruptionsAndLostReads(t *testing.T) {
	canceled := fmt.Errorf("read: %w", context.Canceled)
	for name, c := range map[string]struct {
		err   error
		after time.Duration // until the run's context is cancelled; 0: never
		want  bool
	}{
		"the run's context follows":            {canceled, 100 * time.Millisecond, true},
		"a request that was cancelled alone":   {canceled, 0, false},
		"another error":                        {errors.New("damaged"), 0, false},
		"another error, and the run ends soon": {errors.New("damaged"), time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				if c.after > 0 {
					time.AfterFunc(c.after, stop)
				}
				if got := interrupted(ctx, c.err); got != c.want {
					t.Errorf("%v", got)
				}
			})
		})
	}
}
