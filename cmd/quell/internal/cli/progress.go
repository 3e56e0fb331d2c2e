package cli

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/run"
)

const (
	drawEvery  = 200 * time.Millisecond // on a terminal
	lineEvery  = 30 * time.Second       // elsewhere
	maxFound   = 20                     // findings that are shown as they come
	graceDelay = 2 * time.Second        // a run that ends before shows its result alone
)

// meter shows on standard error how far a run is: on a terminal one line that it
// draws again, elsewhere a line now and then.
type meter struct {
	watch    *run.Watch
	w        io.Writer
	width    func() int // nil: not a terminal
	total    atomic.Int64
	findings atomic.Int64
	start    time.Time

	mu    sync.Mutex
	drawn bool
	stop  chan struct{}
	done  sync.WaitGroup
}

// startMeter begins to show what the app's watch counts.
func (a *app) startMeter() {
	if a.quiet || a.silent || a.meter != nil {
		return
	}
	m := &meter{watch: a.watch, w: a.err, start: time.Now(), stop: make(chan struct{})}
	every := lineEvery
	if fd, ok := terminal(a.err); ok && a.getenv("TERM") != "dumb" {
		m.width, every = func() int { return a.columns(fd) }, drawEvery
		m.draw()
	}
	a.meter = m
	m.done.Add(1)
	go func() {
		defer m.done.Done()
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-m.stop:
				return
			case <-t.C:
				m.draw()
			}
		}
	}()
}

// end stops the meter and removes its line.
func (m *meter) end() {
	if m == nil {
		return
	}
	close(m.stop)
	m.done.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clear()
}

// clear removes the line. The caller holds mu.
func (m *meter) clear() {
	if m.drawn {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.drawn = false
	}
}

func (m *meter) draw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status(time.Now())
	if m.width == nil {
		fmt.Fprintln(m.w, "quell: "+s)
		return
	}
	m.clear()
	fmt.Fprint(m.w, runewidth.Truncate(s, max(m.width()-1, 10), "…"))
	m.drawn = true
}

// status is what the run is doing, in one line.
func (m *meter) status(now time.Time) string {
	if n, until := m.watch.Confirming(); n > 0 {
		return fmt.Sprintf("confirming %s, up to %s more", report.Count(int64(n), "kill"), seconds(until.Sub(now)))
	}
	if asked, all := m.watch.Asked.Load(), m.watch.ToAsk.Load(); asked < all {
		return fmt.Sprintf("asking issuers: %s of %s", report.Number(asked), report.Count(all, "credential"))
	}
	read := m.watch.Read.Bytes.Load()
	if read == 0 {
		return "starting"
	}
	parts := []string{"read " + report.Size(read), report.Count(m.watch.Read.Artifacts.Load(), "artifact"), report.Count(m.findings.Load(), "finding")}
	rate := float64(read) / max(now.Sub(m.start).Seconds(), 0.1)
	parts = append(parts, report.Size(int64(rate))+"/s")
	if left := m.total.Load() - read; left > 0 {
		parts = append(parts, "about "+seconds(time.Duration(float64(left)/rate*float64(time.Second)))+" left")
	}
	return strings.Join(parts, " · ")
}

func seconds(d time.Duration) string {
	if d >= 3*time.Hour {
		return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
	}
	if d >= 2*time.Minute {
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	}
	return fmt.Sprintf("%d s", max(int(d.Round(time.Second).Seconds()), 0))
}

// over returns a writer that removes the meter's line before it writes.
func (m *meter) over(w io.Writer) io.Writer {
	if m == nil {
		return w
	}
	return overMeter{m, w}
}

type overMeter struct {
	m *meter
	w io.Writer
}

func (o overMeter) Write(b []byte) (int, error) {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	o.m.clear()
	return o.w.Write(b)
}

// found counts findings and shows the sure ones as they come, on a terminal.
type found struct{ m *meter }

func (f found) Emit(e report.Event) error {
	x, ok := e.(report.Finding)
	if !ok {
		return nil
	}
	n := f.m.findings.Add(1)
	if f.m.width == nil || n > maxFound || time.Since(f.m.start) < graceDelay {
		return nil
	}
	_, err := fmt.Fprintf(f.m.over(f.m.w), "found %s %s at %s\n", x.Kind, x.Rule, report.Clean(report.Place(x.Location)))
	return err
}

func (found) Close() error { return nil }

// measure adds up the sizes of local files, so that the meter knows what is left. It
// ends with the meter.
func (m *meter) measure(targets []string) {
	if m == nil || m.width == nil {
		return
	}
	go func() {
		var sum int64
		for _, t := range targets {
			_ = filepath.WalkDir(t, func(_ string, d fs.DirEntry, err error) error {
				select {
				case <-m.stop:
					return fs.SkipAll
				default:
				}
				if err != nil || !d.Type().IsRegular() {
					return nil
				}
				if info, err := d.Info(); err == nil {
					sum += info.Size()
				}
				return nil
			})
		}
		m.total.Store(sum)
	}()
}
