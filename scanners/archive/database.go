package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/sqlite"
)

// unsqlite passes on the file as it is, which shows deleted rows too, and then the rows.
func unsqlite(x *opening) error {
	k := &copied{r: x.in, max: sqlite.MaxSize}
	if err := x.plain("", k); err != nil {
		return err
	}
	switch {
	case k.err != nil && k.err != io.EOF:
		return nil // reported by plain
	case k.over:
		x.gap("", scanners.OfKind(scanners.GapLimitMemory, fmt.Errorf("larger than %d MiB: scanned as it is, not opened", sqlite.MaxSize>>20)))
		return nil
	}
	began := time.Now()
	select {
	case x.opener.databases <- struct{}{}:
	case <-x.ctx.Done():
		return x.ctx.Err()
	}
	x.budget.Waited += time.Since(began)
	text, err := func() (sqlite.Text, error) {
		defer func() { <-x.opener.databases }()
		return sqlite.Read(x.ctx, k.b, x.companion("-wal", sqlite.MaxSize))
	}()
	if err != nil && x.ctx.Err() == nil {
		if errors.Is(err, sqlite.ErrLimit) || errors.Is(err, context.DeadlineExceeded) {
			err = scanners.OfKind(scanners.GapLimitMemory, err)
		}
		x.gap("", err)
	}
	if len(text.Rows) == 0 {
		return x.ctx.Err()
	}
	return x.give(text.Name, bytes.NewReader(text.Rows), true, text.Where)
}

// companion reads a companion file of at most max bytes; nil if there is none.
func (x *opening) companion(suffix string, max int64) []byte {
	if x.beside == nil {
		return nil
	}
	f, err := x.beside(suffix)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil || int64(len(b)) > max {
		if err == nil {
			err = scanners.OfKind(scanners.GapLimitMemory, fmt.Errorf("larger than %d MiB: not read with the file", max>>20))
		}
		x.gap(suffix, err)
		return nil
	}
	return b
}

// copied keeps a copy of what is read from it, up to a limit in bytes.
type copied struct {
	r    io.Reader
	b    []byte
	max  int
	over bool
	err  error
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.err = err
	if c.over = c.over || len(c.b)+n > c.max; c.over {
		c.b = nil
	} else {
		c.b = append(c.b, p[:n]...)
	}
	return n, err
}
