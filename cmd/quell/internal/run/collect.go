package run

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/quellhq/quell/cmd/quell/internal/spill"
	"github.com/quellhq/quell/rules"
)

// maxPlaces is how many places of one credential are kept with it. The findings
// report all of them; a credential with more would make a line of a report that
// no reader takes.
const maxPlaces = 10_000

// maxInside is how many of the places are kept with the decodings that led there.
const maxInside = 5

// sortMemory is what each sort of a run keeps in memory, in bytes.
const sortMemory = 16 << 20

// collector makes credentials of findings: one for each distinct value, named
// by the most specific rule that found it. It holds a bounded number of findings
// in memory, whatever their number.
type collector struct {
	set      *rules.Set
	key      rules.FingerprintKey
	file     *spill.File
	findings *spill.Sorter
	codec    *codec[findingRecord]
}

func newCollector(set *rules.Set, key rules.FingerprintKey, file *spill.File) (*collector, error) {
	c, err := newCodec[findingRecord]()
	if err != nil {
		return nil, err
	}
	return &collector{set: set, key: key, file: file, findings: spill.NewSorter(file, sortMemory), codec: c}, nil
}

// add takes a finding. A part of a secret makes no credential.
func (c *collector) add(f rules.Finding) error {
	if f.Partial {
		return nil
	}
	b, err := c.codec.encode(recordOf(f))
	if err != nil {
		return err
	}
	fp := fingerprintOf(c.key.Fingerprint(f.Secret))
	return c.findings.Add(append(fp[:], placeKey(f.Location, f.Rule)...), b)
}

// fingerprint is a fingerprint without its spelling.
type fingerprint [16]byte

func fingerprintOf(s string) (f fingerprint) {
	_, _ = hex.Decode(f[:], []byte(s))
	return f
}

func (f fingerprint) String() string { return hex.EncodeToString(f[:]) }

// placeKey orders findings by path, artifact, offset and rule.
func placeKey(l rules.Location, rule string) []byte {
	b := make([]byte, 0, len(l.Path)+len(l.Artifact)+len(rule)+len(l.Commit)+len(l.Layer)+24)
	text := func(s string) {
		if strings.IndexByte(s, 0) >= 0 {
			s = strings.ReplaceAll(s, "\x00", "\x00\x01")
		}
		b = append(append(b, s...), 0, 0)
	}
	text(l.Path)
	text(l.Artifact)
	b = binary.BigEndian.AppendUint64(b, uint64(l.Offset))
	text(rule)
	text(l.Commit)
	text(l.Layer)
	return b
}

// credentialRecord is a credential with its secret in clear; see findingRecord.
type credentialRecord struct {
	Ref    rules.Ref
	Secret []byte
	Places []rules.Location // the first maxPlaces
	Inside [][]string       // how the first maxInside of them were reached
	Count  int              // of all places
}

// merge adds a finding of the credential. Findings come in order of their places.
func (c *credentialRecord) merge(set *rules.Set, f findingRecord) {
	if c.Count == 0 {
		c.Secret = f.Secret
		c.Ref.Redacted, c.Ref.Offline = rules.NewSecret(f.Secret).Hint(), f.Ref.Offline
	}
	r := &c.Ref
	if r.Rule == "" || specific(set, f.Ref.Rule) > specific(set, r.Rule) {
		names, _ := r.Names()
		r.Rule, r.Provider, r.Kind, r.Cookie, r.Cookies = f.Ref.Rule, f.Ref.Provider, f.Ref.Kind, f.Ref.Cookie, nil
		if r.Cookie != "" {
			for _, n := range names {
				r.Name(n)
			}
		}
	} else if r.Cookie != "" {
		r.Name(f.Ref.Cookie)
	}
	r.Confidence = max(r.Confidence, f.Ref.Confidence)
	r.Token = cmp.Or(r.Token, f.Ref.Token)
	if r.Offline.State == rules.OfflineUnknown {
		r.Offline = f.Ref.Offline
	}
	r.Claims.Merge(f.Ref.Claims)
	c.place(f.Location, f.Decoded)
	c.Count++
}

func (c *credentialRecord) place(l rules.Location, inside []string) {
	if len(c.Places) >= maxPlaces {
		return
	}
	if len(c.Places) < maxInside {
		c.Inside = append(c.Inside, inside)
	}
	c.Places = append(c.Places, l)
}

// with adds the places of a part that grants nothing alone. Together they are as sure as the
// surer one.
func (c *credentialRecord) with(part credentialRecord) {
	c.Ref.Confidence = max(c.Ref.Confidence, part.Ref.Confidence)
	for n, l := range part.Places {
		var inside []string
		if n < len(part.Inside) {
			inside = part.Inside[n]
		}
		c.place(l, inside)
	}
	c.Count += part.Count
}

func specific(set *rules.Set, id string) int {
	if r := set.Rule(id); r != nil {
		return r.Specific()
	}
	return -1
}

// credentials groups the findings and binds what leaked together.
func (c *collector) credentials() (*credentials, error) {
	codec, err := newCodec[credentialRecord]()
	if err != nil {
		return nil, err
	}
	byPlace := spill.NewSorter(c.file, sortMemory)
	b := &binder{key: c.key, positions: spill.NewSorter(c.file, sortMemory), out: &credentials{codec: codec, box: box{file: c.file}}, parts: newParter(c.set)}
	var now credentialRecord
	var first, current []byte
	n := uint32(0)
	flush := func() error {
		if now.Count == 0 {
			return nil
		}
		record, err := codec.encode(&now)
		if err != nil {
			return err
		}
		// The credential's number comes last: it distinguishes equal places.
		err = byPlace.Add(binary.BigEndian.AppendUint32(bytes.Clone(first), n), record)
		now = credentialRecord{}
		n++
		return err
	}
	for r, err := range c.findings.Sorted() {
		if err != nil {
			return nil, err
		}
		fp := r.Key[:len(fingerprint{})]
		if !bytes.Equal(fp, current) {
			if err := flush(); err != nil {
				return nil, err
			}
			current, first = fp, r.Key[len(fp):]
			now.Ref.Fingerprint = fingerprint(fp).String()
		}
		f, err := c.codec.decode(r.Value)
		if err != nil {
			return nil, err
		}
		now.merge(c.set, f)
		if err := b.addPosition(f.Location, n); err != nil {
			return nil, err
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if err := b.number(byPlace, int(n)); err != nil {
		return nil, err
	}
	return b.bind()
}

// Credentials groups and binds findings that are in memory.
func Credentials(findings []rules.Finding, key rules.FingerprintKey, set *rules.Set) ([]rules.Credential, error) {
	file := spill.NewFile("")
	defer file.Close()
	c, err := newCollector(set, key, file)
	if err != nil {
		return nil, err
	}
	for _, f := range findings {
		if err := c.add(f); err != nil {
			return nil, err
		}
	}
	list, err := c.credentials()
	if err != nil {
		return nil, err
	}
	var out []rules.Credential
	for x, err := range list.all() {
		if err != nil {
			return nil, err
		}
		out = append(out, x.Credential)
	}
	return out, nil
}
