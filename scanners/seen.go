package scanners

import "github.com/quellhq/quell/rules"

// maxSeen is the maximum size, in bytes, of raw text passed to Seen.
const maxSeen = 64 << 10

// saw passes a match to Seen: the secret and, if it differs, the raw text, because an encoded
// or wrapped form is as sensitive as the secret.
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

// shortWord is the length in bytes from which a run of letters and digits does not count as a
// word of a name.
const shortWord = 12

// isWords reports whether a value consists of short words, as file names do. After "key=", a
// low-confidence match often is such a name, which must not be redacted.
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
