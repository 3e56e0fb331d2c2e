package revokers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/rules/regex"
)

// Refusal is the part of a refusal that is compared: status, redirect target,
// challenge and body. Two refusals are of one shape if they are equal after
// what varies from request to request has been left out: the present time, and
// whatever differs between two never-issued credentials.
type Refusal struct {
	status    int
	location  string
	challenge string
	query     int // how many of the words are of the redirect's query
	words     []string
	blocks    map[string]string // of a page; nil for other bodies
}

// moment is a point in time, as text or in seconds or milliseconds.
var moment = regex.Lazy(`[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,18}(?:Z|[+-][0-9]{2}:?[0-9]{2})?|\b1[0-9]{9}(?:[0-9]{3})?\b`)

// leaveOut masks a moment within a day of now: when the answer was made. An
// older one can be when the credential ended, which distinguishes it. What has
// the form of an id stays as well: an error code can have that form, and an id
// of the request differs between two never-issued credentials anyway.
func leaveOut(s string) string {
	var t time.Time
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) == 13 {
		t = time.UnixMilli(n)
	} else if err == nil {
		t = time.Unix(n, 0)
	} else if t, err = time.Parse("2006-01-02", s[:10]); err == nil {
		t = t.Add(12 * time.Hour)
	}
	if d := time.Since(t).Abs(); d > 36*time.Hour {
		return s
	}
	return mask
}

// word splits a body where a value can begin or end.
var word = regex.Lazy(`[A-Za-z0-9_.:+/=-]+|[^A-Za-z0-9_.:+/=-]+`)

// part splits the query of a redirect.
var part = regex.Lazy(`[^&;=]+|[&;=]`)

// mask replaces what was left out.
const mask = "\x00"

// maxWords bounds the comparison; the rest of a longer body is one word.
const maxWords = 20_000

// NewRefusal normalises a refusal. sent are the values that the request
// contained: an issuer that echoes them does not change the shape. location
// holds the redirect's host, path and query, if there is one.
func NewRefusal(status int, location, challenge string, body []byte, sent []string) *Refusal {
	text := string(body)
	for _, s := range sent {
		if len(s) < 4 {
			continue
		}
		text = strings.ReplaceAll(text, s, mask)
		if j, err := json.Marshal(s); err == nil {
			text = strings.ReplaceAll(text, string(j[1:len(j)-1]), mask)
		}
		location = strings.ReplaceAll(location, s, mask)
	}
	text = moment().ReplaceAllStringFunc(text, leaveOut)
	location, query, _ := strings.Cut(location, "?")
	asked := part().FindAllString(moment().ReplaceAllStringFunc(query, leaveOut), maxWords)
	words := word().FindAllString(text, maxWords)
	if len(words) == maxWords {
		sum := sha256.Sum256([]byte(text))
		words = append(words, hex.EncodeToString(sum[:]))
	}
	return &Refusal{status, location, strings.ToLower(challenge), len(asked), append(asked, words...), blocksOf([]byte(text))}
}

// Template is what two refusals of never-issued credentials have in common.
type Template struct {
	like *Refusal
	vary map[int]bool // positions in words that differ
}

// NewTemplate compares the refusals of two never-issued credentials. ok is
// false if they are not of one shape: then nothing can be learned.
func NewTemplate(a, b *Refusal) (t Template, ok bool) {
	if a == nil || b == nil || a.status != b.status || a.location != b.location || a.challenge != b.challenge || a.query != b.query || len(a.words) != len(b.words) {
		return Template{}, false
	}
	t = Template{a, map[int]bool{}}
	body := 0
	for i := range a.words {
		if a.words[i] != b.words[i] {
			t.vary[i] = true
			if i >= a.query {
				body++
			}
		}
	}
	// Two pages of which more than a fifth differs have too little in common.
	if 5*body > len(a.words)-a.query {
		return Template{}, false
	}
	return t, true
}

// Shape digests a refusal without the template's variable positions. Two equal
// shapes are one refusal.
func (t Template) Shape(r *Refusal) string {
	if r == nil {
		return ""
	}
	h := sha256.New()
	put := func(s string) {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	put(strconv.Itoa(r.status))
	put(r.location)
	put(r.challenge)
	put(strconv.Itoa(r.query))
	same := t.like != nil && r.query == t.like.query && len(r.words) == len(t.like.words)
	for i, w := range r.words {
		if same && t.vary[i] {
			w = mask
		}
		put(w)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Schemes lists the schemes of WWW-Authenticate headers, sorted, in lower case.
func Schemes(headers []string) string {
	var out []string
	for _, h := range headers {
		for _, e := range elements(h) {
			m := scheme().FindStringSubmatch(e)
			if m == nil {
				continue
			}
			if s := strings.ToLower(m[1]); !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// scheme matches an element of the list that begins a challenge (RFC 9110,
// 11.6.1): a token that no "=" follows.
var scheme = regex.Lazy(`^\s*([A-Za-z][A-Za-z0-9._~+-]*)(?:\s+[^\s=]|\s*$)`)

// elements splits a list at its commas. A comma within a quoted string is none.
func elements(list string) []string {
	var out []string
	start, quoted := 0, false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			out = append(out, list[start:i])
			start = i + 1
		}
	}
	return append(out, list[start:])
}
