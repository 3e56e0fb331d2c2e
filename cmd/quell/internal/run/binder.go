package run

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/rules"
)

// binder finds the credentials that leaked together and are one session. The
// pieces of a cookie that is too long for one become one credential. A refresh
// token and the tokens that it renews, a key and its session token, a client
// token and its cookie stay apart, since each is ended in its own way, and name
// each other.
type binder struct {
	key       rules.FingerprintKey
	positions *spill.Sorter // every place of every credential
	out       *credentials

	index  []int32 // a credential's number while it was grouped -> its place in out
	flags  []bool  // it renews others
	pieces map[pieces][]piece
	parent []int32 // union-find: credentials of one group have one root

	signs   map[int32]string // signatures: the cookie that each signs
	cookies map[int32]string // cookies that one of signs names
	pairs   map[int32]int32  // signatures: the first cookie that is near
	parts   *parter
}

// pieces names a cookie in pieces at one place.
type pieces struct {
	at         placeSum
	rule, name string
}

type piece struct {
	n    int
	at   int64
	cred int32
}

// placeSum is a digest of the fields that identify an artifact.
type placeSum [16]byte

func sumOf(l rules.Location) (s placeSum) {
	sum := sha256.Sum256([]byte(l.Path + "\x00" + l.Artifact + "\x00" + l.Commit + "\x00" + l.Layer))
	copy(s[:], sum[:])
	return s
}

// addPosition notes a place of the credential with the given number.
func (b *binder) addPosition(l rules.Location, number uint32) error {
	at := sumOf(l)
	key := binary.BigEndian.AppendUint64(at[:], uint64(l.Offset))
	value := binary.BigEndian.AppendUint64(make([]byte, 0, 12), uint64(l.EndOffset))
	return b.positions.Add(key, binary.BigEndian.AppendUint32(value, number))
}

// number puts the n credentials in the order of their first places.
func (b *binder) number(byPlace *spill.Sorter, n int) error {
	b.index, b.pieces = make([]int32, n), map[pieces][]piece{}
	for r, err := range byPlace.Sorted() {
		if err != nil {
			return err
		}
		c, err := b.out.codec.decode(r.Value)
		if err != nil {
			return err
		}
		i := int32(len(b.out.refs))
		b.index[binary.BigEndian.Uint32(r.Key[len(r.Key)-4:])] = i
		ref, err := b.out.box.put(r.Value)
		if err != nil {
			return err
		}
		b.out.refs = append(b.out.refs, ref)
		b.out.prints = append(b.out.prints, fingerprintOf(c.Ref.Fingerprint))
		b.out.roles = append(b.out.roles, roleOf(c.Ref))
		b.flags = append(b.flags, renews(c.Ref))
		if m := chunkRE.FindStringSubmatch(c.Ref.Cookie); m != nil {
			p := pieces{sumOf(c.Places[0]), c.Ref.Rule, m[1]}
			b.pieces[p] = append(b.pieces[p], piece{int(m[2][0] - '0'), c.Places[0].Offset, i})
		}
		b.cookie(i, c.Ref.Cookie)
		b.parts.credential(i, c.Ref)
	}
	return nil
}

// cookie notes a credential that signs another.
func (b *binder) cookie(i int32, name string) {
	delete(b.signs, i)
	if name, ok := strings.CutSuffix(name, signatureSuffix); ok {
		if b.signs == nil {
			b.signs = map[int32]string{}
		}
		b.signs[i] = name
	}
}

// bind returns the credentials with their groups.
func (b *binder) bind() (*credentials, error) {
	joined := map[int32]int32{}
	for p, list := range b.pieces {
		if err := b.join(p.name, list, joined); err != nil {
			return nil, err
		}
	}
	for n, i := range b.index {
		if first, ok := joined[i]; ok {
			b.index[n] = first
		}
	}
	if err := b.signedCookies(); err != nil {
		return nil, err
	}
	b.parent = make([]int32, len(b.out.refs))
	for i := range b.parent {
		b.parent[i] = int32(i)
	}
	if err := b.walk(); err != nil {
		return nil, err
	}
	b.groups()
	b.sign()
	b.out.parts = b.parts.best
	b.out.into, b.out.has = b.parts.fold(b.out.refs)
	return b.out, nil
}

// join makes one credential of the pieces of a cookie that are near each other,
// if none is missing between the first and the last.
func (b *binder) join(name string, list []piece, joined map[int32]int32) error {
	slices.SortFunc(list, func(x, y piece) int { return cmp.Or(cmp.Compare(x.n, y.n), cmp.Compare(x.at, y.at)) })
	if len(list) < 2 || list[0].n > 1 {
		return nil
	}
	for i := 1; i < len(list); i++ {
		if d := list[i].at - list[i-1].at; list[i].n != list[i-1].n+1 || max(d, -d) > together {
			return nil
		}
	}
	first := list[0].cred
	whole, err := b.out.record(first)
	if err != nil {
		return err
	}
	end := whole.Places[0].EndOffset
	for _, p := range list[1:] {
		c, err := b.out.record(p.cred)
		if err != nil {
			return err
		}
		if d := c.Places[0].Offset - end; d < 0 || d > adjacent {
			whole.Ref.Apart = true
		}
		end = c.Places[0].EndOffset
		whole.Secret = append(whole.Secret, c.Secret...)
		for n, l := range c.Places {
			var inside []string
			if n < len(c.Inside) {
				inside = c.Inside[n]
			}
			whole.place(l, inside)
		}
		whole.Count += c.Count
		joined[p.cred] = first
		b.out.refs[p.cred], b.out.roles[p.cred], b.flags[p.cred] = gone, 0, false
		b.cookie(p.cred, "")
	}
	whole.Ref.Cookie, whole.Ref.Cookies = name, nil
	whole.Ref.Fingerprint = b.key.Fingerprint(rules.NewSecret(whole.Secret))
	record, err := b.out.codec.encode(&whole)
	if err != nil {
		return err
	}
	b.out.prints[first], b.out.roles[first] = fingerprintOf(whole.Ref.Fingerprint), roleOf(whole.Ref)
	b.cookie(first, name)
	b.out.refs[first], err = b.out.box.put(record)
	return err
}

// signedCookies finds the cookies that signatures name.
func (b *binder) signedCookies() error {
	if len(b.signs) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, name := range b.signs {
		wanted[name] = true
	}
	b.cookies, b.pairs = map[int32]string{}, map[int32]int32{}
	for i := range b.out.refs {
		if b.out.refs[i] == gone {
			continue
		}
		c, err := b.out.record(int32(i))
		if err != nil {
			return err
		}
		if wanted[c.Ref.Cookie] {
			b.cookies[int32(i)] = c.Ref.Cookie
		}
	}
	return nil
}

// position is a place of a credential in an artifact.
type position struct {
	from, to int64
	cred     int32
}

// walk goes through all places, artifact by artifact.
func (b *binder) walk() error {
	var here []byte     // the artifact's digest and the offset
	var same []position // the places with the same beginning
	w := &walker{binder: b}
	flush := func() {
		slices.SortStableFunc(same, func(x, y position) int { return cmp.Compare(x.cred, y.cred) })
		for _, s := range same {
			w.group(s)
			w.pair(s)
			w.parts.add(s)
		}
		same = same[:0]
	}
	for r, err := range b.positions.Sorted() {
		if err != nil {
			return err
		}
		if !bytes.Equal(here, r.Key) {
			flush()
			if sum := len(placeSum{}); here == nil || !bytes.Equal(here[:sum], r.Key[:sum]) {
				w.open, w.near = map[string]*session{}, nil
				w.parts.artifact()
			}
			here = r.Key
		}
		number := binary.BigEndian.Uint32(r.Value[8:])
		same = append(same, position{int64(binary.BigEndian.Uint64(r.Key[len(placeSum{}):])), int64(binary.BigEndian.Uint64(r.Value)), b.index[number]})
	}
	flush()
	return nil
}

// walker is what is known of one artifact.
type walker struct {
	*binder
	// open is the last group of each family. A role that it already has begins
	// the next one: the tokens of the next response.
	open map[string]*session
	near []position // signatures and signed cookies, not further back than together
}

// session is a group while it grows: credentials by role.
type session struct {
	first int32
	to    int64
	roles map[uint8]int32
}

func (w *walker) group(s position) {
	r := w.out.roles[s.cred]
	if r == 0 {
		return
	}
	f := family(roles[r])
	if o := w.open[f]; o != nil {
		switch has, ok := o.roles[r]; {
		case ok && has == s.cred:
			o.to = s.to
			return
		case !ok && s.from-o.to <= together:
			o.roles[r], o.to = s.cred, s.to
			w.parent[w.root(s.cred)] = w.root(o.first)
			return
		}
	}
	w.open[f] = &session{s.cred, s.to, map[uint8]int32{r: s.cred}}
}

// pair brings signatures and cookies together whose places are near.
func (w *walker) pair(s position) {
	signs, isSignature := w.signs[s.cred]
	name, isCookie := w.cookies[s.cred]
	if !isSignature && !isCookie {
		return
	}
	for len(w.near) > 0 && s.from-w.near[0].from > together {
		w.near = w.near[1:]
	}
	w.near = append(w.near, s)
	for _, o := range w.near {
		if other, ok := w.cookies[o.cred]; isSignature && ok && other == signs {
			w.first(s.cred, o.cred)
		}
		if other, ok := w.signs[o.cred]; isCookie && ok && other == name {
			w.first(o.cred, s.cred)
		}
	}
}

// first keeps the first of the cookies that are near a signature.
func (b *binder) first(signature, cookie int32) {
	if has, ok := b.pairs[signature]; !ok || cookie < has {
		b.pairs[signature] = cookie
	}
}

func (b *binder) root(i int32) int32 {
	for b.parent[i] != i {
		b.parent[i] = b.parent[b.parent[i]]
		i = b.parent[i]
	}
	return i
}

// groups names the member of each group that keeps it alive.
func (b *binder) groups() {
	out := b.out
	out.main, out.renews = make([]int32, len(out.refs)), make([]bool, len(out.refs))
	members := map[int32][]int32{}
	for i := range b.parent {
		out.main[i] = -1
		if r := b.root(int32(i)); r != int32(i) {
			members[r] = append(members[r], int32(i))
		}
	}
	for r, list := range members {
		list = append(list, r)
		slices.SortFunc(list, func(x, y int32) int { return cmp.Or(cmp.Compare(out.roles[x], out.roles[y]), cmp.Compare(x, y)) })
		for _, i := range list {
			out.main[i], out.renews[i] = list[0], b.flags[list[0]] && i != list[0]
		}
	}
}

// sign names the cookie that a signature is sent with, and the other way round.
func (b *binder) sign() {
	b.out.signed = map[int32]signature{}
	order := make([]int32, 0, len(b.pairs))
	for s := range b.pairs {
		order = append(order, s)
	}
	slices.Sort(order)
	for _, s := range order {
		c := b.pairs[s]
		b.out.signed[s] = signature{c, "signature"}
		b.out.signed[c] = signature{c, "signed cookie"}
	}
}
