package detect

import (
	"bytes"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/quellhq/quell/rules"
)

// serverREs caches the expressions for servers, by provider id.
var serverREs sync.Map

// serverRE matches a host that a text names as a server of a provider's product: in a variable
// or option for a server's address, or by a name that contains the product's. serverByte,
// separates and mayName depend on which bytes it can match.
func serverRE(id string) *regexp.Regexp {
	re, ok := serverREs.Load(id)
	if !ok {
		const host = `([a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?)`
		q := regexp.QuoteMeta(id)
		re, _ = serverREs.LoadOrStore(id, regexp.MustCompile(`(?i)(?:`+q+`|\bgh|ci_server|ci_api)[a-z0-9_]*(?:host|hostname|url|server|domain|endpoint|fqdn)["']?\s{0,2}[:=]\s{0,2}["']?(?:https?://)?`+host+
			`|(?:://|@|\bhost(?:name)?[:= ]\s?|\bmachine\s+)((?:[a-z0-9-]+\.)*[a-z0-9-]*(?:`+q+`|\bgit|\bghe)[a-z0-9-]*(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?)`+
			`|\b((?:[a-z0-9-]+\.)*[a-z0-9-]*`+q+`[a-z0-9-]*(?:\.[a-z0-9-]+){2,}(?::[0-9]{1,5})?)`))
	}
	return re.(*regexp.Regexp)
}

// maxServers is how many hosts are read of the text around one match.
const maxServers = 8

// nearby knows which hosts a text names as servers, by position, so that the expression runs
// once over each byte and not once for every match whose surroundings contain it. The text is
// cut into pieces that no host extends beyond: the hosts of a window are those of its pieces.
type nearby struct {
	text []byte
	by   []*servers
	// read is how many bytes the expressions were run over.
	read int
}

// servers are the hosts of one provider's product.
type servers struct {
	provider *rules.Provider
	blocks   map[int][]naming // by position / serverBlock, of the pieces that begin there
}

// serverBlock is how many bytes are searched at once.
const serverBlock = 4 << 10

// naming is a piece that names hosts. long is set where the piece is too long to be in an
// ordinary window: it was not searched.
type naming struct {
	span
	hosts []string
	long  bool
}

// near lists the hosts in b[from:to] that are servers of a provider's product, without those of
// the provider itself. The result depends on b[from:to] alone.
func (n *nearby) near(p *rules.Provider, b []byte, from, to int) []string {
	if len(n.text) != len(b) || len(b) > 0 && &n.text[0] != &b[0] {
		*n = nearby{text: b, read: n.read}
	}
	k := slices.IndexFunc(n.by, func(s *servers) bool { return s.provider == p })
	if k < 0 {
		k = len(n.by)
		n.by = append(n.by, &servers{p, map[int][]naming{}})
	}
	s := n.by[k]
	var all []string
	take := func(hosts []string) { all = append(all, hosts[:min(len(hosts), maxServers-len(all))]...) }
	at := from
	if !begins(b, from) {
		// The window begins in the middle of a piece, of which only the rest counts.
		at = nextPiece(b, from+1, to)
		take(n.search(p, b[from:at]))
	}
	for k := at / serverBlock; k*serverBlock < to && len(all) < maxServers; k++ {
		list := n.block(s, k)
		for i := sort.Search(len(list), func(i int) bool { return list[i].start >= at }); i < len(list) && list[i].start < to && len(all) < maxServers; i++ {
			// Where the window's end cuts a piece that names no host, the part names none.
			if x := &list[i]; x.long || x.end > to {
				take(n.search(p, b[x.start:min(x.end, to)]))
			} else {
				take(x.hosts)
			}
		}
	}
	var out []string
	for _, h := range all {
		if !p.Has(h) && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// block returns the pieces that begin in a block and name hosts.
func (n *nearby) block(s *servers, k int) []naming {
	list, ok := s.blocks[k]
	if ok {
		return list
	}
	b, to := n.text, min(len(n.text), (k+1)*serverBlock)
	at := k * serverBlock
	if !begins(b, at) {
		at = nextPiece(b, at+1, to)
	}
	for at < to {
		next := nextPiece(b, at+1, len(b))
		if next-at > serverBlock {
			list = append(list, naming{span: span{at, next}, long: true})
		} else if hosts := n.search(s.provider, b[at:next]); hosts != nil {
			list = append(list, naming{span: span{at, next}, hosts: hosts})
		}
		at = next
	}
	s.blocks[k] = list
	return list
}

// search runs the expression over a piece.
func (n *nearby) search(p *rules.Provider, piece []byte) []string {
	if !mayName(p.ID, piece) {
		return nil
	}
	n.read += len(piece)
	var out []string
	for _, m := range serverRE(p.ID).FindAllSubmatch(piece, maxServers) {
		out = append(out, strings.ToLower(string(bytes.Join(m[1:], nil))))
	}
	return out
}

// mayName is false for most pieces in which serverRE can't match.
func mayName(id string, piece []byte) bool {
	dot := bytes.IndexByte(piece, '.')
	if dot < 0 {
		return false
	}
	for _, c := range piece {
		if c >= utf8.RuneSelf {
			return true // may fold into a letter
		}
	}
	return hasFold(piece, id) || hasFold(piece, "gh") || hasFold(piece, "git") || hasFold(piece, "ci_")
}

// hasFold reports whether b contains s, which is in lower case, in any case. Both are ASCII.
func hasFold(b []byte, s string) bool {
	for i := 0; i+len(s) <= len(b); i++ {
		k := 0
		for k < len(s) && (b[i+k] == s[k] || b[i+k]|0x20 == s[k] && isLetter(b[i+k])) {
			k++
		}
		if k == len(s) {
			return true
		}
	}
	return false
}

// serverByte marks the bytes that a match of serverRE may contain, and white space apart.
var serverByte = func() (t [256]byte) {
	for c := range t {
		switch {
		case c >= utf8.RuneSelf || isLetter(byte(c)) || isDigit(byte(c)) || strings.IndexByte(`_-.:=@/"'`, byte(c)) >= 0:
			t[c] = inServer
		case strings.IndexByte("\t\n\f\r ", byte(c)) >= 0:
			t[c] = spaceInServer
		}
	}
	return t
}()

const (
	inServer      = 1
	spaceInServer = 2
)

// maxBlank limits how far back white space is read. Longer white space separates nothing.
const maxBlank = 256

// begins reports whether a text can be split before b[i]: neither a match of serverRE nor a word
// contains both b[i-1] and b[i].
func begins(b []byte, i int) bool {
	if i == 0 || i >= len(b) {
		return true
	}
	switch serverByte[b[i-1]] {
	case inServer:
		return false
	case spaceInServer:
		if serverByte[b[i]] == spaceInServer {
			return false
		}
		from := i - 1
		for from > 0 && serverByte[b[from-1]] == spaceInServer {
			if from--; i-from > maxBlank {
				return false
			}
		}
		return separates(b, from, i)
	}
	return true
}

// nextPiece is the position from i on where the next piece begins, at most to.
func nextPiece(b []byte, i, to int) int {
	for ; i < to; i++ {
		switch serverByte[b[i-1]] {
		case inServer:
		case spaceInServer:
			if begins(b, i) {
				return i
			}
		default:
			return i
		}
	}
	return to
}

// separates reports whether no match of serverRE extends over the white space b[from:to]: one
// does only next to an assignment, and after three words.
func separates(b []byte, from, to int) bool {
	if to < len(b) && (b[to] == ':' || b[to] == '=') {
		return false
	}
	if from == 0 {
		return true
	}
	if c := b[from-1]; c == ':' || c == '=' || c >= utf8.RuneSelf {
		return false
	}
	before := b[max(0, from-len("machine")):from]
	return !slices.ContainsFunc(before, func(c byte) bool { return c >= utf8.RuneSelf }) &&
		!hasFold(before, "host") && !hasFold(before, "name") && !hasFold(before, "machine")
}
