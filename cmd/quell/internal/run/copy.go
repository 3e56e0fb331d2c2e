package run

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"

	"github.com/quellhq/quell/cmd/quell/internal/evidence"
	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/ci"
)

// kept is a sealed copy: a file, or ledger:NAME in a ledger that is a database.
type kept struct{ name, hash string }

// copier takes the members of a copy.
type copier interface {
	Add(name string, size int64, sum []byte, r io.Reader) error
}

// newCopy begins a sealed copy in the policy's folder, next to the ledger, or in it.
func (c *closing) newCopy() (*evidence.Writer, error) {
	return evidence.New(c.evidenceDir(), c.Sealer, c.Keys.Fingerprint[:])
}

// keepCopy makes a copy durable.
func (c *closing) keepCopy(ctx context.Context, w *evidence.Writer, known map[string]string) (kept, error) {
	x, err := w.Commit(known)
	if err != nil {
		return kept{}, err
	}
	if c.Policy.Evidence != "" || !ledger.Remote(c.State()) {
		return kept{x.File, x.SHA256}, nil
	}
	name := filepath.Base(x.File)
	return kept{"ledger:" + name, x.SHA256}, errors.Join(c.applier.Ledger.PutCopy(ctx, name, x.SHA256, x.File), evidence.Remove(x.File))
}

// copyInto counts what a source downloads, and adds it to w; nil: nothing is kept.
func copyInto(src *ci.Source, w copier, mu *sync.Mutex, items *int) {
	src.Fetched = func(at rules.Location, b *ci.Blob) error {
		mu.Lock()
		*items++
		mu.Unlock()
		if w == nil {
			return nil
		}
		return w.Add(at.Path, b.Size, b.Sum[:], io.NewSectionReader(b, 0, b.Size))
	}
}

// isNothing reports the error of an item that exists and has no content.
func isNothing(err error) bool { return errors.Is(err, ci.ErrNothing) }

// scanCopy finds the credentials in what a source yields. unread is what could not be searched.
func (c *closing) scanCopy(ctx context.Context, src *ci.Source) (out []rules.Credential, unread []error, err error) {
	file := spill.NewFile("")
	defer file.Close()
	found, err := newCollector(c.Rules, c.Keys.Fingerprint, file)
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	var broken error
	p := scanners.Pool{Detector: c.detector, NoMarkers: true, Seen: c.Redactor.Add, Unpacker: archive.New(archive.DefaultLimits)}
	_, err = p.Run(ctx, src, func(f rules.Finding) {
		c.Redactor.Add(f.Secret)
		mu.Lock()
		defer mu.Unlock()
		broken = errors.Join(broken, found.add(f))
	}, func(g scanners.Gap) {
		mu.Lock()
		defer mu.Unlock()
		unread = append(unread, g)
	})
	if err = errors.Join(err, broken); err != nil {
		return nil, nil, err
	}
	list, err := found.credentials()
	if err != nil {
		return nil, nil, err
	}
	for x, err := range list.all() {
		if err != nil {
			return nil, nil, err
		}
		out = append(out, x.Credential)
	}
	return out, unread, nil
}
