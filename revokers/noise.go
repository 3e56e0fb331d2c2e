package revokers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"github.com/quellhq/quell/rules/regex"
)

// NoisySamples is how many refusals of never-issued credentials a noisy
// template needs. A block that half of the pages have is missed by all of six in
// one case of 64.
const NoisySamples = 6

// Noisy is what pages have in common that differ from request to request by more
// than single words: a block that comes and goes, a text of the day.
type Noisy struct {
	head string
	// core is what all have, and known what any has: blocks, with the spelling
	// that all have in common. It is empty if they differ in it.
	core, known map[string]string
}

// NewNoisy compares refusals. ok is false if they are no pages, or have too
// little in common.
func NewNoisy(samples []*Refusal) (n Noisy, ok bool) {
	if len(samples) < NoisySamples {
		return n, false
	}
	n.known = map[string]string{}
	least := 0
	for i, r := range samples {
		if r == nil || r.blocks == nil || r.head() != samples[0].head() {
			return n, false
		}
		if i == 0 {
			n.head, n.core, least = r.head(), maps.Clone(r.blocks), len(r.blocks)
		}
		maps.DeleteFunc(n.core, func(b, _ string) bool { return r.blocks[b] == "" })
		for b, spelt := range r.blocks {
			if was, ok := n.known[b]; ok && was != spelt {
				spelt = ""
			}
			n.known[b] = spelt
		}
		least = min(least, len(r.blocks))
	}
	for b := range n.core {
		n.core[b] = n.known[b]
	}
	return n, 5*len(n.core) >= least && len(n.core) > 0
}

// Has reports whether a refusal has all that the samples have in common, and
// nothing that none of them has. What they all spell alike, it has to spell so
// too: an error code has digits as a request's id has.
func (n Noisy) Has(r *Refusal) bool {
	if r == nil || r.blocks == nil || r.head() != n.head {
		return false
	}
	for b := range n.core {
		if r.blocks[b] == "" {
			return false
		}
	}
	for b, spelt := range r.blocks {
		if was, ok := n.known[b]; !ok || was != "" && was != spelt {
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
		h.Write([]byte(strconv.Itoa(len(b)) + ":" + b + n.core[b]))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Noise reports whether a refusal is a page, whose words may differ between two
// requests.
func (r *Refusal) Noise() bool { return r != nil && r.blocks != nil }

// Alike reports whether two refusals are equal in all but their bodies.
func (r *Refusal) Alike(o *Refusal) bool { return r != nil && o != nil && r.head() == o.head() }

// head is the part of a refusal outside of its body.
func (r *Refusal) head() string {
	return strconv.Itoa(r.status) + "\x00" + r.location + "\x00" + r.challenge
}

var (
	// spoken are numbers that identify an error, and are kept.
	spoken = regex.Lazy(`(?i)\b(?:code|error|status|reason)\b\W{0,3}[A-Z]{0,3}[0-9]{1,6}`)
	number = regex.Lazy(`[0-9]+`)
	random = regex.Lazy(`[A-Za-z0-9_+/=-]{8,}`)
)

// plainBlock masks the parts of a text that vary without a meaning.
func plainBlock(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	keep := spoken().FindAllString(s, 8)
	s = random().ReplaceAllStringFunc(s, func(w string) string {
		if strings.ContainsAny(w, "0123456789") {
			return mask
		}
		return w
	})
	s = number().ReplaceAllString(s, mask)
	return s + strings.Join(keep, mask)
}

// blocksOf takes a page apart: its texts, forms, fields, links and the values of
// its documents. Each block is named by what stays of it when numbers and ids are
// left out, and has a digest of its spelling. Scripts are compared by addScript,
// styles are left out. It is nil if the body is not a page.
func blocksOf(body []byte) map[string]string {
	start := bytes.ToLower(body[:min(len(body), 2048)])
	if !slices.ContainsFunc([]string{"<html", "<!doctype html", "<body", "<form", "<div", "<head", "<p>", "<h1", "<title"}, func(t string) bool { return bytes.Contains(start, []byte(t)) }) {
		return nil
	}
	found := map[string][]string{}
	add := func(name, spelt string) { found[name] = append(found[name], spelt) }
	z := html.NewTokenizer(bytes.NewReader(body))
	skip, document := "", ""
	for more := true; more && len(found) < maxWords; {
		switch z.Next() {
		case html.ErrorToken:
			more = false
		case html.TextToken:
			text := string(z.Text())
			switch {
			case document != "":
				addDocument(document, text, add)
			case skip == "script":
				addScript(text, add)
			}
			if t := plainBlock(text); skip == "" && t != "" {
				add("text "+t, strings.Join(strings.Fields(text), " "))
			}
		case html.EndTagToken:
			if n, _ := z.TagName(); string(n) == skip {
				skip, document = "", ""
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.Data {
			case "script", "style", "template", "noscript":
				if t.Type == html.StartTagToken {
					skip = t.Data
				}
				if kind := strings.ToLower(of(t, "type")); t.Data == "script" && (strings.HasSuffix(kind, "/json") || strings.HasSuffix(kind, "+json") || of(t, "id") == "__NEXT_DATA__") {
					document = "document " + of(t, "id")
				}
			case "form", "a":
				to := of(t, "action") + of(t, "href")
				add(t.Data+" "+of(t, "method")+" "+plainBlock(pathOf(to)), to)
			case "input", "button", "select", "textarea":
				add(t.Data+" "+of(t, "type")+" "+plainBlock(of(t, "name")), of(t, "name")+"="+of(t, "value"))
			}
		}
	}
	out := make(map[string]string, len(found))
	for name, spelt := range found {
		h := sha256.New()
		for _, s := range spelt {
			h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
		}
		out[name] = string(h.Sum(nil)[:16])
	}
	return out
}

// addDocument adds the values of a JSON document, named by where they are: an
// application's page can be a shell around it. What is no JSON is one value.
func addDocument(name, text string, add func(name, spelt string)) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		add(name, text)
		return
	}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			add(name, "{}")
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(name+"."+k, v[k])
			}
		case []any:
			add(name, "[]")
			for _, e := range v {
				walk(name+"[]", e)
			}
		default:
			add(name, fmt.Sprintf("%T %v", v, v))
		}
	}
	walk(name, v)
}

func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host + u.Path
}
