package spill

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
)

// Record is a value with its sort key.
type Record struct{ Key, Value []byte }

// size estimates the record's memory in bytes.
func (r Record) size() int { return len(r.Key) + len(r.Value) + 64 }

// Sorter orders any number of records by key. It keeps about memory bytes and spills the rest.
// Records with equal keys keep the order in which they were added. A Sorter is not safe for
// concurrent use.
type Sorter struct {
	file   *File
	memory int
	buf    []Record
	held   int
	runs   []sorted
}

// sorted is a run: a sequence of sealed blocks with records in order. level is the number of
// merges that created it.
type sorted struct {
	blocks []int64
	level  int
}

const (
	// blockSize is the size in bytes from which records are sealed as a block. A merge holds
	// one block of each run in memory.
	blockSize = 64 << 10
	// maxRuns is the number of runs of one level that are merged into one of the next.
	maxRuns = 32
)

// NewSorter returns a sorter that spills to file and keeps about memory bytes.
func NewSorter(file *File, memory int) *Sorter { return &Sorter{file: file, memory: memory} }

// Add adds a record. The sorter keeps both slices.
func (s *Sorter) Add(key, value []byte) error {
	r := Record{key, value}
	s.buf = append(s.buf, r)
	s.held += r.size()
	if s.held < s.memory {
		return nil
	}
	return s.spill()
}

// order sorts the records in memory.
func (s *Sorter) order() {
	slices.SortStableFunc(s.buf, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
}

func (s *Sorter) spill() error {
	s.order()
	run, err := s.write(func(yield func(Record, error) bool) {
		for _, r := range s.buf {
			if !yield(r, nil) {
				return
			}
		}
	}, 0)
	if err != nil {
		return err
	}
	clear(s.buf)
	s.buf, s.held = s.buf[:0], 0
	s.runs = append(s.runs, run)
	return s.reduce()
}

// reduce merges the last runs of one level, so that few are open at the end.
func (s *Sorter) reduce() error {
	for {
		level := s.runs[len(s.runs)-1].level
		from := slices.IndexFunc(s.runs, func(r sorted) bool { return r.level <= level })
		if len(s.runs)-from < maxRuns {
			return nil
		}
		run, err := s.write(s.merge(s.runs[from:], nil), level+1)
		if err != nil {
			return err
		}
		s.runs = append(s.runs[:from], run)
	}
}

// write stores records that are in order.
func (s *Sorter) write(records iter.Seq2[Record, error], level int) (sorted, error) {
	run := sorted{level: level}
	var block []byte
	flush := func() error {
		if len(block) == 0 {
			return nil
		}
		at, err := s.file.Append(block)
		run.blocks, block = append(run.blocks, at), block[:0]
		return err
	}
	for r, err := range records {
		if err != nil {
			return run, err
		}
		block = binary.AppendUvarint(block, uint64(len(r.Key)))
		block = append(block, r.Key...)
		block = binary.AppendUvarint(block, uint64(len(r.Value)))
		block = append(block, r.Value...)
		if len(block) >= blockSize {
			if err := flush(); err != nil {
				return run, err
			}
		}
	}
	return run, flush()
}

// Sorted yields all records in order. It can be called repeatedly, but not Add after it.
func (s *Sorter) Sorted() iter.Seq2[Record, error] {
	s.order()
	return s.merge(s.runs, s.buf)
}

// merge yields the records of runs and of buf in order. For equal keys, records of an earlier
// run come first because they were added first.
func (s *Sorter) merge(runs []sorted, buf []Record) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		h := &readers{}
		for n, run := range runs {
			h.list = append(h.list, &reader{file: s.file, blocks: run.blocks, n: n})
		}
		h.list = append(h.list, &reader{records: buf, n: len(runs)})
		for _, r := range slices.Clone(h.list) {
			more, err := r.next()
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !more {
				h.list = slices.DeleteFunc(h.list, func(x *reader) bool { return x == r })
			}
		}
		heap.Init(h)
		for len(h.list) > 0 {
			first := h.list[0]
			if !yield(first.now, nil) {
				return
			}
			more, err := first.next()
			if err != nil {
				yield(Record{}, err)
				return
			}
			if more {
				heap.Fix(h, 0)
			} else {
				heap.Pop(h)
			}
		}
	}
}

// reader reads one run: its blocks, or records in memory.
type reader struct {
	file    *File
	blocks  []int64
	rest    []byte
	records []Record
	now     Record
	n       int
}

func (r *reader) next() (bool, error) {
	if len(r.records) > 0 {
		r.now, r.records = r.records[0], r.records[1:]
		return true, nil
	}
	if len(r.rest) == 0 {
		if len(r.blocks) == 0 {
			return false, nil
		}
		var err error
		if r.rest, err = r.file.Read(r.blocks[0]); err != nil {
			return false, err
		}
		r.blocks = r.blocks[1:]
	}
	for _, field := range []*[]byte{&r.now.Key, &r.now.Value} {
		n, k := binary.Uvarint(r.rest)
		if k <= 0 || n > uint64(len(r.rest)-k) {
			return false, errors.New("spill: a block is damaged")
		}
		*field, r.rest = r.rest[k:k+int(n):k+int(n)], r.rest[k+int(n):]
	}
	return true, nil
}

// readers is a heap of readers by their next key.
type readers struct{ list []*reader }

func (h *readers) Len() int { return len(h.list) }
func (h *readers) Less(i, j int) bool {
	if c := bytes.Compare(h.list[i].now.Key, h.list[j].now.Key); c != 0 {
		return c < 0
	}
	return h.list[i].n < h.list[j].n
}
func (h *readers) Swap(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *readers) Push(x any)    { h.list = append(h.list, x.(*reader)) }
func (h *readers) Pop() any {
	last := h.list[len(h.list)-1]
	h.list = h.list[:len(h.list)-1]
	return last
}
