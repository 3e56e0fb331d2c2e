package policy

import (
	"fmt"

	"github.com/quellhq/quell/revokers/issuer"
)

// Warnings are remarks for the operator about the instances of a policy: hosts with other
// customers that the policy declares as the operator's own, and instances that cannot be
// distinguished for a credential.
func Warnings(list issuer.Instances) []string {
	var out []string
	for _, i := range list {
		if i.Operator && i.Own && i.Public {
			out = append(out, fmt.Sprintf("own = true of %s: strangers use that host too, and their credentials count as yours; name your identity in [[own]] instead", i.URL.Host))
		}
	}
	for n, a := range list {
		for _, b := range list[:n] {
			if a.Operator && b.Operator && a.Provider == b.Provider && a.URL.Host == b.URL.Host && a.Cookie == b.Cookie && a.Settings["user"] == b.Settings["user"] {
				out = append(out, fmt.Sprintf("two instances of %s at %s can't be told apart: a credential of one is asked about at both, and is ended only where exactly one says that it is live", a.Provider, a.URL.Host))
			}
		}
	}
	return out
}
