package revokers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
)

// NoisySamples is how many refusals of never-issued credentials a noisy
// template needs. A block that half of the pages have is missed by all of six in
// one case of 64.
const NoisySamples = 6

// Noisy is what pages have in common that differ from request to request by more
// than single words: a block that comes and goes, a text of the day.
type Noisy struct {
	head  string
	core  map[string]bool // what all have
	known map[string]bool // what any has
}

// NewNoisy compares refusals. ok is false if they are no pages, or have too
// little in common.
func NewNoisy(samples []*Refusal) (n Noisy, ok bool) {
	if len(samples) < NoisySamples {
		return n, false
	}
	n.known = map[string]bool{}
	least := 0
	for i, r := range samples {
		if r == nil || r.blocks == nil || r.head() != samples[0].head() {
			return n, false
		}
		if i == 0 {
			n.head, n.core, least = r.head(), maps.Clone(r.blocks), len(r.blocks)
		}
		maps.DeleteFunc(n.core, func(b string, _ bool) bool { return !r.blocks[b] })
		maps.Copy(n.known, r.blocks)
		least = min(least, len(r.blocks))
	}
	return n, 5*len(n.core) >= least && len(n.core) > 0
}

// Has reports whether a refusal has all that the samples have in common, and
// nothing that none of them has.
func (n Noisy) Has(r *Refusal) bool {
	if r == nil || r.blocks == nil || r.head() != n.head {
		return false
	}
	for b := range n.core {
		if !r.blocks[b] {
			return false
		}
	}
	for b := range r.blocks {
		if !n.known[b] {
			return false
		}
	}
	return true
}

// Shape digests what the samples have in common.
func (n Noisy) Shape() string {
	h := sha256.New()
	h.Write([]byte(n.head))
	for _, b := range slices.Sorted(maps.Keys(n.core)) {
		h.Write([]byte(strconv.Itoa(len(b)) + ":" + b))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Noise reports whether a refusal is a page, whose words may differ between two
// requests.
func (r *Refusal) Noise() bool { return r != nil && r.blocks != nil }

// Alike reports whether two refusals are equal in all but their bodies.
func (r *Refusal) Alike(o *Refusal) bool { return r != nil && o != nil && r.head() == o.head() }

// head is what a refusal says outside of its body.
func (r *Refusal) head() string {
	return strconv.Itoa(r.status) + "\x00" + r.location + "\x00" + r.challenge
}

var (
	// spoken are numbers that say what happened, and stay.
	spoken = regexp.MustCompile(`(?i)\b(?:code|error|status|reason)\b\W{0,3}[A-Z]{0,3}[0-9]{1,6}`)
	number = regexp.MustCompile(`[0-9]+`)
	random = regexp.MustCompile(`[A-Za-z0-9_+/=-]{8,}`)
)

// plainBlock leaves out of a text what varies without a meaning.
func plainBlock(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	keep := spoken.FindAllString(s, 8)
	s = random.ReplaceAllStringFunc(s, func(w string) string {
		if strings.ContainsAny(w, "0123456789") {
			return mask
		}
		return w
	})
	s = number.ReplaceAllString(s, mask)
	return s + strings.Join(keep, mask)
}

// blocksOf takes a page apart: its texts, forms, fields and links. Scripts and
// styles are left out, and so are values of fields. It is nil for what is no
// page.
func blocksOf(body []byte) map[string]bool {
	start := bytes.ToLower(body[:min(len(body), 2048)])
	if !slices.ContainsFunc([]string{"<html", "<!doctype html", "<body", "<form", "<div", "<head", "<p>", "<h1", "<title"}, func(t string) bool { return bytes.Contains(start, []byte(t)) }) {
		return nil
	}
	out := map[string]bool{}
	z := html.NewTokenizer(bytes.NewReader(body))
	skip := ""
	for len(out) < maxWords {
		switch z.Next() {
		case html.ErrorToken:
			return out
		case html.TextToken:
			if t := plainBlock(string(z.Text())); skip == "" && t != "" {
				out["text "+t] = true
			}
		case html.EndTagToken:
			if n, _ := z.TagName(); string(n) == skip {
				skip = ""
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.Data {
			case "script", "style", "template", "noscript":
				if t.Type == html.StartTagToken {
					skip = t.Data
				}
			case "form", "a":
				out[t.Data+" "+of(t, "method")+" "+plainBlock(pathOf(of(t, "action")+of(t, "href")))] = true
			case "input", "button", "select", "textarea":
				out[t.Data+" "+of(t, "type")+" "+plainBlock(of(t, "name"))] = true
			}
		}
	}
	return out
}

func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host + u.Path
}
