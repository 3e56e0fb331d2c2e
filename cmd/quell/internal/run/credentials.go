package run

import (
	"iter"

	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/rules"
)

// credentials are those of a run in the order of their first places. About 50
// bytes of each are in memory.
type credentials struct {
	codec  *codec[credentialRecord]
	box    box
	refs   []int64 // where each record is in the box; gone: it was joined to another
	prints []fingerprint
	roles  []uint8 // index into roles
	main   []int32 // the member that keeps the group alive; -1: there is no group
	renews []bool  // another member of the group can mint a new one
	signed map[int32]signature
	parts  map[int32]map[string]nearest // of credentials whose rule declares parts
	into   map[int32]int32              // parts that grant nothing alone: the credential of which each is a part
	has    map[int32][]int32            // the same, by that credential
}

// signature is what a signed cookie or its signature is in its pair.
type signature struct {
	main int32
	role string
}

// gone marks a credential that was joined to another.
const gone = int64(-1) << 62

// grouped is a credential with the number of all its places.
type grouped struct {
	rules.Credential
	Count  int
	Inside [][]string // how the first places were reached
}

// all yields the credentials. A part that grants nothing alone, such as the id of a key, is not
// one of its own where the rest is near: its places are among those of the credential.
func (l *credentials) all() iter.Seq2[grouped, error] {
	return func(yield func(grouped, error) bool) {
		for i := range l.refs {
			if _, part := l.into[int32(i)]; part || l.refs[i] == gone {
				continue
			}
			c, err := l.get(int32(i))
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

func (l *credentials) record(i int32) (credentialRecord, error) {
	b, err := l.box.get(l.refs[i])
	if err != nil {
		return credentialRecord{}, err
	}
	return l.codec.decode(b)
}

func (l *credentials) get(i int32) (grouped, error) {
	r, err := l.record(i)
	if err != nil {
		return grouped{}, err
	}
	if m := l.main[i]; m >= 0 {
		r.Ref.Group, r.Ref.Role, r.Ref.Renewable = l.prints[m].String(), roles[l.roles[i]], l.renews[i]
	}
	if s, ok := l.signed[i]; ok {
		r.Ref.Group, r.Ref.Role = l.prints[s.main].String(), s.role
	}
	for _, n := range l.has[i] {
		part, err := l.record(n)
		if err != nil {
			return grouped{}, err
		}
		r.with(part)
	}
	c := grouped{Credential: rules.Credential{Ref: r.Ref, Secret: rules.NewSecret(r.Secret)}, Count: r.Count, Inside: r.Inside}
	if err := l.addParts(i, &c.Credential); err != nil {
		return grouped{}, err
	}
	for _, p := range r.Places {
		c.Findings = append(c.Findings, rules.Finding{Ref: r.Ref, Secret: c.Secret, Location: p})
	}
	return c, nil
}

// boxMemory is how many bytes of records a box keeps before it spills.
const boxMemory = 8 << 20

// box holds records by number: the first in memory, the rest in a file.
type box struct {
	file   *spill.File
	memory [][]byte
	held   int
}

// put returns a reference to b: below zero it is in memory.
func (x *box) put(b []byte) (int64, error) {
	if x.held < boxMemory {
		x.held += len(b)
		x.memory = append(x.memory, b)
		return -int64(len(x.memory)), nil
	}
	return x.file.Append(b)
}

func (x *box) get(ref int64) ([]byte, error) {
	if ref < 0 {
		return x.memory[-ref-1], nil
	}
	return x.file.Read(ref)
}
