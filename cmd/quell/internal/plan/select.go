package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// minPrefix is the minimum length of a fingerprint's prefix for Select, in hex digits.
const minPrefix = 4

// Select returns the indexes of the named items. A name is an item's number, counted from 1 as
// the plan shows it, or a prefix of a fingerprint. A name that matches no item, or several, is
// an error. Digits are a number if the plan has that many items, and a prefix otherwise.
func (p *Plan) Select(names []string) (map[int]bool, error) {
	out := map[int]bool{}
	for _, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(p.Items) {
			out[n-1] = true
			continue
		}
		found := -1
		for i, it := range p.Items {
			if len(name) < minPrefix || !strings.HasPrefix(it.Fingerprint, name) {
				continue
			}
			if found >= 0 {
				return nil, fmt.Errorf("plan: %q fits several items (hint: use more digits of the fingerprint, or the number of the item)", name)
			}
			found = i
		}
		if found < 0 {
			return nil, fmt.Errorf("plan: %q is no item (hint: use a number from 1 to %d, or at least %d digits of a fingerprint)", name, len(p.Items), minPrefix)
		}
		out[found] = true
	}
	return out, nil
}
