package scanners

import "github.com/quellhq/quell/rules"

// maxSeen bounds a piece of raw text that is handed to Seen, in bytes.
const maxSeen = 64 << 10

// saw hands a match to Seen: the secret, and what the text shows of it where that
// differs, since an encoded or a wrapped form is as good as the secret.
func (r *run) saw(c Chunk, m Match) {
	if r.Seen == nil {
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
