package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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
	if x.openCompanion == nil {
		x.keepDatabase(k.b)
	}
	return x.rows(k.b, x.companion(logSuffix, sqlite.MaxSize))
}

// logSuffix is what SQLite appends to a database's name for the name of its write-ahead log.
const logSuffix = "-wal"

// hasDatabase reports whether the database of a log is in the same folder.
func (x *opening) hasDatabase() bool {
	f, err := x.openCompanion(logSuffix, "")
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(sqlite.Magic))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == sqlite.Magic
}

// keepDatabase keeps a database in the format for write-ahead logs (version 2 in its header),
// whose log can be a later member of the same archive.
func (x *opening) keepDatabase(b []byte) {
	kept := len(b)
	for _, d := range x.budget.Databases {
		kept += len(d)
	}
	if len(b) < 100 || b[18] != 2 || kept > sqlite.MaxSize {
		return
	}
	if x.budget.Databases == nil {
		x.budget.Databases = map[string][]byte{}
	}
	x.budget.Databases[x.name] = bytes.Clone(b)
}

var errNoDatabase = scanners.OfKind(scanners.GapUnsupported, errors.New("its database is not here, or does not precede it in the same archive: scanned as it is, values on several pages can be missing"))

// unsqlitelog passes on a write-ahead log as it is. If the log is a member of an archive, it
// then passes on the rows of the database with the log; a log in a folder is read together with
// the database there. A log without its database is reported.
func unsqlitelog(x *opening) error {
	k := &copied{r: x.in, max: sqlite.MaxSize}
	if err := x.plain("", k); err != nil {
		return err
	}
	const header = 32 // bytes before the first frame
	name, _ := strings.CutSuffix(x.name, logSuffix)
	file := x.budget.Databases[name]
	switch {
	case k.err != nil && k.err != io.EOF, !k.over && len(k.b) <= header:
		return nil
	case x.openCompanion != nil && x.hasDatabase():
		return nil
	case k.over || file == nil:
		x.gap("", errNoDatabase)
		return nil
	}
	delete(x.budget.Databases, name)
	return x.rows(file, k.b)
}

// rows passes on the rows of a database with its log, which may be nil.
func (x *opening) rows(file, log []byte) error {
	began := time.Now()
	select {
	case x.opener.databases <- struct{}{}:
	case <-x.ctx.Done():
		return x.ctx.Err()
	}
	x.budget.Waited += time.Since(began)
	text, err := func() (sqlite.Text, error) {
		defer func() { <-x.opener.databases }()
		return sqlite.Read(x.ctx, file, log)
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
	if x.openCompanion == nil {
		return nil
	}
	f, err := x.openCompanion("", suffix)
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
