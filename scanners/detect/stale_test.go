package detect

import (
	"strings"
	"testing"
)

// The survey of one text is never used for the next text that uses its buffers.
func TestASurveyIsOfItsOwnText(t *testing.T) {
	var used, parent text
	used.data = []byte(strings.Repeat("[12:00:00] INFO a line of a log, long and of little use    app.py:12\n", 800))
	used.seen.take(used.data)
	if len(used.seen.stamps) == 0 {
		t.Fatal("no line begins with a time")
	}
	used.reset(&parent)
	if s := &used.seen; len(s.stamps)+len(s.breaks)+len(s.runs)+len(s.rows)+len(s.marks) > 0 || s.unfolded {
		t.Errorf("%d stamps, %d runs, %d rows and %d marks are left", len(s.stamps), len(s.runs), len(s.rows), len(s.marks))
	}
	// The handler's columns are read in compressed text, too.
	rich := "[12:00:00] INFO     token is glpat-9vXq2kLm4NpR        app.py:12\n" +
		"                    7sTu8wYz                                \n"
	e := New(builtin(t))
	plain, packed := found(t, e, rich), found(t, e, "blob: "+gzipped(rich+strings.Repeat("a line\n", 40))+"\n")
	if len(plain) != 1 || len(packed) != 1 {
		t.Errorf("plain %v, compressed %v", plain, packed)
	}
}
