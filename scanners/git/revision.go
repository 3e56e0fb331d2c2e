package git

import (
	"fmt"
	"strconv"
	"strings"
)

// revision finds a commit, or another object, by its usual names: a ref or the end of one, an
// id or its beginning, with ~N and ^N after it.
func (r *repo) revision(name string) (id, error) {
	base, steps := name, ""
	if i := strings.IndexAny(name, "~^"); i >= 0 {
		base, steps = name[:i], name[i:]
	}
	i, ok := r.named(base)
	if !ok {
		return "", fmt.Errorf("%s: no such branch, tag or commit here", name)
	}
	for steps != "" {
		op := steps[0]
		steps = strings.TrimPrefix(steps[1:], "{commit}")
		k := 0
		for k < len(steps) && steps[k] >= '0' && steps[k] <= '9' {
			k++
		}
		n := 1
		if k > 0 {
			n, _ = strconv.Atoi(steps[:k])
			steps = steps[k:]
		}
		i, _ = r.tip(i)
		for range map[bool]int{true: n, false: min(n, 1)}[op == '~'] {
			_, b, err := r.get([]byte(i))
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			which := 1
			if op == '^' {
				which = n
			}
			p := parseCommit(i, b, r.hashLen).parents
			if which > len(p) {
				return "", fmt.Errorf("%s: there is no such parent", name)
			}
			i = p[which-1]
		}
	}
	return i, nil
}

func (r *repo) named(name string) (id, bool) {
	if name == "" || name == "@" {
		name = "HEAD"
	}
	if name == "HEAD" {
		name = own(r.private, name)
	}
	for _, pre := range []string{"", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"} {
		if i, ok := r.lookup(pre + name); ok {
			return i, true
		}
	}
	if i, ok := parseID(strings.ToLower(name), r.hashLen); ok {
		return i, r.has([]byte(i))
	}
	return r.abbreviated(strings.ToLower(name))
}

// abbreviated finds the only object whose id begins with the digits.
func (r *repo) abbreviated(h string) (id, bool) {
	if len(h) < 4 || len(h) > 2*r.hashLen || strings.Trim(h, "0123456789abcdef") != "" {
		return "", false
	}
	match := func(i []byte) int { return strings.Compare(id(i).String()[:len(h)], h) }
	seen := map[id]bool{}
	for _, o := range r.all() {
		for _, p := range o.packs {
			for _, i := range p.Prefix(match) {
				seen[id(i)] = true
			}
		}
		first, _ := strconv.ParseUint(h[:2], 16, 8)
		for _, i := range o.looseIDs(int(first)) {
			if match([]byte(i)) == 0 {
				seen[i] = true
			}
		}
	}
	for i := range seen {
		return i, len(seen) == 1
	}
	return "", false
}
