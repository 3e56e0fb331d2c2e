package action

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// The window of GitHub's own line hash, in UTF-16 units, and its base.
const (
	hashWindow = 100
	hashBase   = 37
)

// LineHashes computes primaryLocationLineHash, by which code scanning distinguishes alerts, for
// the given lines: a polynomial over the hundred units that follow the beginning of the line,
// without blanks, and the number of preceding lines with the same value. The upload action
// computes it; an upload without it creates new alerts each time.
func LineHashes(r io.Reader, want map[int]bool) (map[int]string, error) {
	out := map[int]string{}
	var window [hashWindow]uint64
	var begins [hashWindow]int // the line that begins at this unit; 0: none does
	drop := uint64(1)          // what the oldest unit of the window weighs
	for range hashWindow {
		drop *= hashBase
	}
	var hash uint64
	at, line, fresh := 0, 0, true
	seen := map[uint64]int{}
	push := func(u uint64) {
		hash = hash*hashBase + u - drop*window[at]
		window[at] = u
		at = (at + 1) % hashWindow
	}
	leave := func() {
		if n := begins[at]; n != 0 {
			seen[hash]++
			if want[n] {
				out[n] = strconv.FormatUint(hash, 16) + ":" + strconv.Itoa(seen[hash])
			}
			begins[at] = 0
		}
	}
	unit := func(u uint64) {
		leave()
		if fresh {
			fresh = false
			line++
			begins[at] = line
		}
		if u == '\n' {
			fresh = true
		}
		push(u)
	}
	in := bufio.NewReader(r)
	afterCR := false
	for {
		c, size, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("line hash: %w", err)
		}
		lf := c == '\n' && afterCR
		afterCR = c == '\r'
		switch {
		case c == ' ' || c == '\t' || lf:
		case c == '\r':
			unit('\n')
		case c > 0xffff:
			c -= 0x10000
			unit(0xd800 + uint64(c>>10))
			unit(0xdc00 + uint64(c&0x3ff))
		case c == utf8.RuneError && size == 1:
			unit(utf8.RuneError)
		default:
			unit(uint64(c))
		}
	}
	unit(0xffff) // the end of the file, as a unit
	for range hashWindow {
		leave()
		push(0)
	}
	return out, nil
}
