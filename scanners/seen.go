package scanners

import "github.com/quellhq/quell/rules"

// maxSeen bounds a piece of raw text that is handed to Seen, in bytes.
const maxSeen = 64 << 10

// saw hands a match to Seen: the secret, and what the text shows of it where that
// differs, since an encoded or a wrapped form is as good as the secret.
func (r *run) saw(c Chunk, m Match) {
	if r.Seen == nil || m.Confidence < rules.Medium && isWords(c.Data[max(m.Start, 0):min(m.End, len(c.Data))]) {
		return
	}
	r.Seen(m.Secret)
	if len(m.Decoded) == 0 && len(m.Views) == 0 && len(m.Pieces) == 0 {
		return
	}
	raw := func(from, to int) {
		if from >= 0 && from < to && to <= len(c.Data) && to-from <= maxSeen {
			r.Seen(rules.NewSecret(c.Data[from:to]))
		}
	}
	raw(m.Start, m.End)
	for _, p := range m.Pieces {
		raw(p[0], p[1])
	}
}

// shortWord is the length in bytes from which an unbroken piece of letters and digits is
// no word of a name.
const shortWord = 12

// isWords reports whether a value is made of short words, as names of files are. What
// stands after "key=" with low confidence often is one, and the name has to be printed.
func isWords(b []byte) bool {
	n := 0
	for _, c := range b {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			if n++; n >= shortWord {
				return false
			}
		} else {
			n = 0
		}
	}
	return true
}
