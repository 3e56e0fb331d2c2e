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
	// Empty reports that it was read to its end and has no byte.
	Empty bool
}

// runnerEnd is in the last lines that the runner writes to a job's log.
// https://github.com/actions/runner/blob/main/src/Runner.Worker/JobExtension.cs
var runnerEnd = []byte("Cleaning up orphan processes")

// EndSize is how many bytes of a log's end Ended needs: after runnerEnd there is a line for each
// process that the runner ends, and warnings.
const EndSize = 64 << 10

// Ended reports whether the last bytes of a job's log show that the runner wrote all of it.
func Ended(tail []byte) bool { return bytes.Contains(tail, runnerEnd) }

// counter counts the bytes that are read.
type counter struct {
	io.Reader
	n   int64
	err error
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	c.err = err
	return n, err
}
