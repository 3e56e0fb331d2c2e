package oci

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// trickle returns a few bytes at a time, each after a delay.
type trickle struct {
	each   int
	every  time.Duration
	left   int
	closed chan struct{}
}

func (r *trickle) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(r.every):
	case <-r.closed:
		return 0, errors.New("closed")
	}
	n := min(r.each, r.left, len(b))
	r.left -= n
	return n, nil
}

func (r *trickle) Close() error {
	select {
	case <-r.closed:
	default:
		close(r.closed)
	}
	return nil
}

func TestPatienceWithARegistry(t *testing.T) {
	for _, c := range []struct {
		name  string
		body  trickle
		pause time.Duration // between two reads
		fails bool
	}{
		{"a short body at once", trickle{each: 100, left: 100}, 0, false},
		{"a byte in two seconds", trickle{each: 1, every: 2 * time.Second, left: 1000}, 0, true},
		{"nothing at all", trickle{each: 1, every: time.Hour, left: 1}, 0, true},
		{"slow, and enough", trickle{each: 1 << 10, every: 2 * time.Second, left: 1 << 20}, 0, false},
		{"a reader that takes its time", trickle{each: 1 << 10, every: time.Millisecond, left: 1 << 20}, time.Minute, false},
		{"a short one that is slow", trickle{each: 1, every: time.Second, left: 10}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := c.body
				body.closed = make(chan struct{})
				s := &slowly{body: &body, left: bodyTime}
				defer s.Close()
				start := time.Now()
				var err error
				for b := make([]byte, 4<<10); err == nil; time.Sleep(c.pause) {
					_, err = s.Read(b)
				}
				if (err == errSlow) != c.fails || err != io.EOF && err != errSlow {
					t.Errorf("%v", err)
				}
				if c.fails && time.Since(start) > time.Minute {
					t.Errorf("it took %s", time.Since(start))
				}
			})
		})
	}
}
