package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
)

// Digest is equal for sets with equal findings. What was scanned under one of them need not be
// scanned again under the other.
func (s *Set) Digest() string {
	h := sha256.New()
	for _, r := range s.Rules {
		fmt.Fprintf(h, "%q %s %v %d %g %q %d %t %t %q %v %q %q %q\n", r.ID, r.Regex, r.Path, r.SecretGroup, r.Entropy, r.Keywords, r.Confidence, r.Fallback, r.Random, r.Parse, r.Beside, r.Kind, r.Checksum, r.Expiry)
		if r.Cookie != nil {
			fmt.Fprintf(h, "%q %q\n", r.Cookie.Names, r.Cookie.Value)
		}
		digest(h, r.Allowlists)
	}
	digest(h, s.Allowlists)
	return hex.EncodeToString(h.Sum(nil))
}

func digest(h hash.Hash, lists []*Allowlist) {
	for _, a := range lists {
		// gitleaks orders stop words by map iteration.
		words := slices.Sorted(slices.Values(a.StopWords))
		fmt.Fprintf(h, "%v %q %v %v %q %q\n", a.MatchCondition, a.Commits, a.Paths, a.Regexes, a.RegexTarget, words)
	}
}
