package scanners

import (
	"cmp"
	"slices"
	"sync"

	"github.com/quellhq/quell/rules"
)

// Mark is a statement of a log about the position of its lines in a run.
type Mark struct {
	At     int // offset in Chunk.Data
	Kind   MarkKind
	System string // the CI system whose syntax the mark has
	// Known is set for a mark that any text may contain: it counts only in a log that is known
	// to be System's.
	Known bool
	Name  string
}

// MarkKind is the effect of a mark.
type MarkKind uint8

const (
	_           MarkKind = iota
	MarkSystem           // the log is System's
	MarkJob              // states the job's name
	MarkStep             // begins a step and closes all groups; without a name, ends the step
	MarkGroup            // opens a group and closes all others; without a name, only closes
	MarkOpen             // opens a group inside the open groups
	MarkSection          // like MarkOpen, but a step if there is none yet
	MarkClose            // closes the innermost group; with a name, all groups up to the last one of that name
)

// maxOpen is the maximum number of open groups. Groups opened inside these are not tracked.
const maxOpen = 64

// where is the position in a run according to the marks so far.
type where struct {
	system, job, step string
	open              []group
	deeper            int // number of open groups beyond maxOpen
}

type group struct {
	name    string
	section bool
}

// apply applies one mark. It never modifies open in place, because copies of where share it.
func (w *where) apply(m Mark) {
	if m.Kind == MarkSystem {
		w.system = m.System
		return
	}
	if (w.system != "" || m.Known) && m.System != w.system {
		return
	}
	switch m.Kind {
	case MarkJob:
		w.job = m.Name
	case MarkStep:
		w.step, w.open, w.deeper = m.Name, nil, 0
	case MarkGroup:
		w.open, w.deeper = []group{{name: m.Name}}, 0
	case MarkOpen, MarkSection:
		if len(w.open) == maxOpen {
			w.deeper++
			return
		}
		w.open = append(slices.Clone(w.open), group{m.Name, m.Kind == MarkSection})
	case MarkClose:
		keep := len(w.open) - 1
		if m.Name != "" {
			for keep >= 0 && w.open[keep].name != m.Name {
				keep--
			}
			if keep >= 0 {
				w.deeper = 0
			}
		} else if w.deeper > 0 {
			w.deeper--
			return
		}
		if keep >= 0 {
			w.open = w.open[:keep:keep]
		}
	}
}

// fill adds the position to a location. Fields that the source has set stay.
func (w *where) fill(l *rules.Location) {
	step, group := w.step, ""
	for _, g := range w.open {
		switch {
		case g.name == "":
		case g.section && step == "":
			step = g.name
		default:
			group = g.name
		}
	}
	set := func(field *string, v string) {
		if *field == "" {
			*field = v
		}
	}
	set(&l.System, w.system)
	set(&l.Job, w.job)
	set(&l.Step, step)
	set(&l.Group, group)
}

// tracked holds the marks of one chunk of a log. Chunks are scanned in parallel; the position
// at the beginning of one is known after those before it are done.
type tracked struct {
	before *tracked // nil if the chunk is the first, or its end is known
	marks  []Mark   // of the chunk's own part, in order
	done   chan struct{}
	closed bool

	mu    *sync.Mutex // shared by all chunks of an artifact
	known bool
	end   where // valid if known
}

// track tracks positions in CI logs. Other text has no marks, whatever it looks like.
func track(a *Artifact, before *tracked) *tracked {
	if a.Location.Source != "log" || a.Unmarked || a.place != nil {
		return nil
	}
	t := &tracked{before: before, done: make(chan struct{}), mu: &sync.Mutex{}}
	if before != nil {
		t.mu = before.mu
	}
	return t
}

// Tracked reports whether the pool needs marks of this chunk.
func (c *Chunk) Tracked() bool { return c.track != nil }

// Mark records the chunk's marks, in order.
func (c *Chunk) Mark(marks []Mark) {
	if c.track == nil {
		return
	}
	for _, m := range marks {
		if m.At >= c.From && (m.At < c.To || c.To == len(c.Data)) {
			c.track.marks = append(c.track.marks, m)
		}
	}
}

// finish declares the chunk's marks complete. It can be called repeatedly.
func (t *tracked) finish() {
	if t == nil || t.closed {
		return
	}
	t.closed = true
	close(t.done)
}

// place finishes the chunk and adds the position in the run to each finding. It waits for the
// preceding chunks, which never wait for this one.
func (t *tracked) place(from int64, found []rules.Finding) {
	if t == nil {
		return
	}
	before, marks := t.before, t.marks // after finish, settle can reset them
	t.finish()
	if len(found) == 0 {
		t.settle(false)
		return
	}
	var w where
	if before != nil {
		w, _ = before.settle(true)
	}
	order := make([]*rules.Finding, len(found))
	for i := range found {
		order[i] = &found[i]
	}
	slices.SortStableFunc(order, func(a, b *rules.Finding) int { return cmp.Compare(a.Location.Offset, b.Location.Offset) })
	k := 0
	for _, f := range order {
		for k < len(marks) && from+int64(marks[k].At) <= f.Location.Offset {
			w.apply(marks[k])
			k++
		}
		w.fill(&f.Location)
	}
	t.settle(false)
}

// settle returns the position at the chunk's end and releases the preceding chunks. It reports
// false if one of them is not done and wait is false.
func (t *tracked) settle(wait bool) (where, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*tracked
	var w where
	for x := t; x != nil; x = x.before {
		if x.known {
			w = x.end
			break
		}
		if wait {
			<-x.done
		} else {
			select {
			case <-x.done:
			default:
				return where{}, false
			}
		}
		list = append(list, x)
	}
	for _, x := range slices.Backward(list) {
		for _, m := range x.marks {
			w.apply(m)
		}
		x.end, x.known, x.before, x.marks = w, true, nil, nil
	}
	return w, true
}
