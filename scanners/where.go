package scanners

import (
	"cmp"
	"slices"
	"sync"

	"github.com/quellhq/quell/rules"
)

// Mark is what a log says about where in a run its lines are.
type Mark struct {
	At     int // in Chunk.Data
	Kind   MarkKind
	System string // whose mark it is
	Name   string
}

// MarkKind is what a mark does.
type MarkKind uint8

const (
	_           MarkKind = iota
	MarkSystem           // the log is of System
	MarkJob              // the job's name
	MarkStep             // a step begins, without a name: the step ends; groups end
	MarkGroup            // the only group that is open; without a name: none
	MarkOpen             // a group within the groups that are open
	MarkSection          // the same, but a step if none began yet
	MarkClose            // the innermost group ends; with a name: those up to the last one of that name
)

// maxOpen bounds the groups that may be open at one time; what a log opens within these is
// not followed.
const maxOpen = 64

// where is the place in a run that the marks up to now give.
type where struct {
	system, job, step string
	open              []group
	deeper            int // how many groups are open beyond maxOpen
}

type group struct {
	name    string
	section bool
}

// apply follows one mark. open is never changed in place: states share it.
func (w *where) apply(m Mark) {
	if m.Kind == MarkSystem {
		w.system = m.System
		return
	}
	if w.system != "" && m.System != w.system {
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

// fill adds the place to a location; what the source knows itself stays.
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

// tracked is what one chunk of a log adds to where. Chunks are searched at the same time: where
// one begins is known once those before it are done.
type tracked struct {
	before *tracked // nil: the chunk is the first, or its end is known
	marks  []Mark   // of the chunk's own part, in order
	done   chan struct{}
	closed bool

	mu    *sync.Mutex // of all chunks of an artifact
	known bool
	end   where // if known
}

// track follows the logs of CI systems. Other text has no marks, whatever it looks like.
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

// Tracked reports whether marks are wanted.
func (c *Chunk) Tracked() bool { return c.track != nil }

// Mark reports the chunk's marks, in order.
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

// finish says that all marks of the chunk were reported, or that none will be. It may be called again.
func (t *tracked) finish() {
	if t == nil || t.closed {
		return
	}
	t.closed = true
	close(t.done)
}

// place finishes the chunk and adds to each of its findings where in the run it is. For that it
// waits for the chunks before this one, which never wait for it.
func (t *tracked) place(from int64, found []rules.Finding) {
	if t == nil {
		return
	}
	before, marks := t.before, t.marks // from finish on, settle may let go of them
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

// settle returns where the chunk ends, and lets go of what led there. It reports false if a
// chunk is not done and it may not wait.
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
