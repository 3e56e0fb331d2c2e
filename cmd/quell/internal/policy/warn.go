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
			if a.Operator && b.Operator && a.Cookie != "" && a.Cookie == b.Cookie && a.URL.Host != b.URL.Host {
				out = append(out, fmt.Sprintf("the cookie %q names two instances, at %s and %s, that can't be distinguished: a session whose text names neither host is asked about at both, and a refusal of one does not prove it dead without a control; rename one cookie, or name a control", a.Cookie, b.URL.Host, a.URL.Host))
			}
			if a.Operator && b.Operator && a.Provider == b.Provider && a.Cookie == b.Cookie && a.URL.Host != b.URL.Host && (a.Sole || b.Sole) {
				sole := a
				if b.Sole {
					sole = b
				}
				out = append(out, fmt.Sprintf("elsewhere = false of %s, and the policy names a second server of %s, at %s and %s: remove elsewhere, or the server that is no more", sole.URL.Host, a.Provider, b.URL.Host, a.URL.Host))
			}
			if a.Operator && b.Operator && a.Provider == b.Provider && a.URL.Host == b.URL.Host && a.Cookie == b.Cookie && a.Settings["user"] == b.Settings["user"] {
				out = append(out, fmt.Sprintf("two instances of %s at %s can't be distinguished: a credential of one is asked about at both, and is ended only where exactly one says that it is live", a.Provider, a.URL.Host))
			}
		}
	}
	return out
}
