package cilog

import (
	"bytes"
	"io"
)

// JobLog is one log that the archive of an attempt has: of a whole job, or a folder with those of
// a job's steps.
type JobLog struct {
	// Name is the job's as GitHub writes it into the archive: without the characters that a file
	// name can't have, and cut.
	Name string
	// Steps reports that it is a folder.
	Steps bool
	// Size is how many bytes were read. Whole reports that these are all, and Ended, of the whole
	// log of a job, that the runner wrote it to its end.
	Size         int64
	Whole, Ended bool
}

// Empty reports that it was read to its end and has no byte.
func (l JobLog) Empty() bool { return l.Whole && l.Size == 0 }

// runnerEnd is in the last lines that the runner writes to a job's log, in its step "Complete job".
// Only a variable of the service (process.clean) keeps it from that.
// https://github.com/actions/runner/blob/main/src/Runner.Worker/JobExtension.cs
var runnerEnd = []byte("Cleaning up orphan processes")

// EndSize is how many bytes of a log's end Ended needs: after runnerEnd there is a line for each
// process that the runner ends, and warnings.
const EndSize = 64 << 10

// Ended reports whether the last bytes of a job's log show that the runner wrote all of it.
func Ended(tail []byte) bool { return bytes.Contains(tail, runnerEnd) }

// end counts the bytes that are read and keeps the last EndSize.
type end struct {
	io.Reader
	n    int64
	err  error
	last []byte // of cap 2*EndSize
}

func (e *end) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	e.n += int64(n)
	e.err = err
	if cap(e.last) > 0 {
		e.keep(b[:n])
	}
	return n, err
}

func (e *end) keep(b []byte) {
	b = b[max(0, len(b)-EndSize):]
	if len(e.last)+len(b) > cap(e.last) {
		e.last = e.last[:copy(e.last, e.last[max(0, len(e.last)-EndSize):])]
	}
	e.last = append(e.last, b...)
}

// log describes what was read.
func (e *end) log(name string) JobLog {
	return JobLog{Name: name, Size: e.n, Whole: e.err == io.EOF, Ended: Ended(e.last)}
}
