package detect

import (
	"strings"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/rules/token"
)

// scratch is what one goroutine needs for its search.
type scratch struct {
	passed   passed
	win      [][]window // by rule
	groups   []group
	ways     ways
	direct   [][]int // matches that were found directly, and their storage
	slots    []int
	gate     []bool
	act      []int
	unfolded bool      // the text is known to have no rune that folds into ASCII
	binary   bool      // the file is no text
	counted  []counted // strings that were found so in it
	steps    int       // bytes that automatons read
	quick    []quick   // by anchor
	reach    []sliding // likewise
	reached  []uint16  // those of reach that are not empty
	waiting  []waiting
	needles  []int // where halves of needles are
	joins    []int // line ends at which an attempt ended
	masked   []masked
	open     []int   // where attempts began that the text's end interrupted
	dumps    []int   // where dumpMark is
	octets   []int   // where one of octetMarks ends
	texts    []*text // to be used again
	out      [4]byte // of an escape
	chunk    text
	allow    map[*allowlist]*automaton // nil: none for it
	firsts   [][]string                // the lists that with returns for a single step
	key      keyText
	raws     int // matches that were judged, or that depend on others of the chunk
}

func (s *scratch) text() *text {
	if n := len(s.texts); n > 0 {
		t := s.texts[n-1]
		s.texts = s.texts[:n-1]
		return t
	}
	return &text{}
}

func (s *scratch) automaton(p *placed, id uint16) *automaton {
	q := &s.quick[id]
	if q.auto == nil {
		q.auto = newAutomaton(p.rest().prog())
	}
	return q.auto
}

func (s *scratch) free(t *text) { s.texts = append(s.texts, t) }

// raw is one match of a rule's expression: all of it, and the secret's part.
type raw struct {
	rule       *compiled
	start, end int // in text
	secret     span
	cookie     string
	text       []byte
	confidence rules.Confidence
	offline    rules.Offline
	allowed    bool
	elsewhere  bool // a list of paths suppresses it
	partial    bool
	public     string        // rule for tokens that grant only what any visitor has, by their own claims; empty: not public
	structured bool          // only a framework makes values of this form
	leads      bool          // the secret begins with the expression's own literal
	inBase64   bool          // the value is part of a longer run of base64
	extends    bool          // continues a match that is complete in one line over a line break: both are reported
	hosts      []string      // that the line names
	claims     rules.Claims  // of the text, kept once the text itself is released
	claimsRead bool          // claims is set although the text is still here
	carrier    rules.Offline // expiry of the value according to the text around it, which is untrusted
	token      *token.Facts
	issuer     string // host of a token's iss

	value   []byte
	place   span   // of the secret, in the chunk
	pieces  []span // its pieces, where it has more than one
	owner   int    // the byte of the chunk that decides to which chunk the match belongs
	decoded []string
	views   []string
	run     int // number of the decoded text; 0: none
	trail   []step
}

// match selects the secret among an expression's groups by gitleaks' rule: the named group,
// else the first that is not empty, else the whole match.
func (r *compiled) match(text string, m []int, off int) raw {
	out := raw{rule: r, start: off + m[0], end: off + m[1], confidence: r.Confidence}
	for out.end > out.start && text[out.end-1] == '\n' {
		out.end--
	}
	g := 0
	switch {
	case r.Cookie != nil:
		g = 2
		out.cookie = strings.Clone(text[off+m[2] : off+m[3]])
		if p := cookiePrefix(text[out.start : off+m[2]]); p != "" {
			out.cookie = p + out.cookie
		}
	case r.SecretGroup > 0:
		g = r.SecretGroup
	default:
		for i := 1; 2*i < len(m); i++ {
			if m[2*i] >= 0 && m[2*i+1] > m[2*i] {
				g = i
				break
			}
		}
	}
	out.secret = span{out.start, out.end}
	if g > 0 && m[2*g] >= 0 {
		out.secret = span{off + m[2*g], off + m[2*g+1]}
	}
	return out
}

func cookiePrefix(s string) string {
	for _, p := range []string{"__Host-", "__Secure-"} {
		if strings.HasSuffix(s, p) {
			return p
		}
	}
	return ""
}
