package detect

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
)

// The URL of a database names users, databases and hosts in its authority, its path and its
// query; a client may use any of them.
func TestWhatTheAddressOfADatabaseNames(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	e := New(set)
	secret := "Zq7Wn3Kd8" + "Vx2Lp5Rt9"
	for text, want := range map[string]string{
		"postgres://app:%@db.example:5433/shop":                                              "[app] [shop] [db.example:5433]",
		"postgres://app:%@db.example/shop":                                                   "[app] [shop] [db.example db.example:5432]",
		"postgres://app:%@db1.example:5433,db2.example/shop":                                 "[app] [shop] [db1.example:5433 db2.example:5432]",
		"postgres://app:%@[2001:db8::1]:5433,[2001:db8::2]/shop?sslmode=require":             "[app] [shop] [[2001:db8::1]:5433 [2001:db8::2]:5432]",
		"postgres://app:%@db.example/shop?user=root&dbname=crm":                              "[app root] [shop crm] [db.example db.example:5432]",
		"postgres://app:%@/shop?host=db9.example&port=6000":                                  "[app] [shop] [db9.example db9.example:6000]",
		"postgres://app:%@db.example/shop?port=6000":                                         "[app] [shop] [db.example db.example:5432 db.example:6000]",
		"postgresql:///shop?user=app&host=a.example,b.example&port=1,2&password=%":           "[app] [shop] [a.example a.example:1 b.example:2]",
		"postgresql://db.example?user=app&dbname=shop&password=%&sslmode=require":            "[app] [shop] [db.example db.example:5432]",
		"jdbc:postgresql://db1.example:5433,db2.example:5434/shop?user=app&password=%":       "[app] [shop] [db1.example:5433 db2.example:5434]",
		`{"url":"jdbc:postgresql://db.example:5433/shop?user=app\u0026password=%\u0026x=1"}`: "[app] [shop] [db.example:5433]",
		`<url>postgresql://db.example:5433/shop?password=%&amp;user=app</url>`:               "[app] [shop] [db.example:5433]",
		"postgres://app%40corp:%@db.example:5433/my%20shop":                                  "[app@corp] [my shop] [db.example:5433]",
		"Connected to postgres://app:%@db.example:5433/shop.":                                "[app] [shop] [db.example:5433]",
		"postgres://app:%@/shop?host=/var/run/postgresql":                                    "[app] [shop] []",
	} {
		text = strings.Replace(strings.Replace(strings.Replace(strings.ReplaceAll(text, "%40", "\x01"), "%20", "\x02", -1), "%", secret, 1), "\x01", "%40", -1)
		text = strings.ReplaceAll(text, "\x02", "%20") + "\n"
		found := slices.Collect(e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(text), Line: 1, Column: 1, To: len(text)}))
		k := slices.IndexFunc(found, func(m scanners.Match) bool { return m.Rule.ID == "postgres-url" })
		if k < 0 {
			t.Errorf("%s: not found", text)
			continue
		}
		c := found[k].Claims
		hosts := slices.Sorted(slices.Values(c.Hosts))
		if got := fmt.Sprint(c.Accounts(), c.Bases(), hosts); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if got := found[k].Secret.Reveal(); got != secret {
			t.Errorf("%s: the secret is %d bytes of %d", text, len(got), len(secret))
		}
	}
}

// A password that could be read only in part is not reported: the issuer would refuse it.
func TestAPasswordInAQueryIsWhole(t *testing.T) {
	set, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	e := New(set)
	for _, text := range []string{"postgres://db/x?user=a&password=Zq7Wn3Kd8$Vx2Lp5Rt9&y=1\n", "postgres://db/x?user=a&password=Zq7Wn3Kd8{Vx2Lp5Rt9}\n", "postgres://db/x?password=Zq7Wn3***\n"} {
		for m := range e.Detect(scanners.Chunk{Artifact: &scanners.Artifact{}, Data: []byte(text), Line: 1, Column: 1, To: len(text)}) {
			if m.Rule.ID == "postgres-url" {
				t.Errorf("%s: found %d bytes", text, m.Secret.Len())
			}
		}
	}
}

// For any text after a scheme, reading a URL neither panics nor returns a name that is too long.
func FuzzConnection(f *testing.F) {
	for _, s := range []string{"postgres://a:b@h:1,[::1]/d?user=x&port=,&host=%zz", "postgres://@?", "jdbc:postgresql://?host=,,&port=1,2,3", "https://u:p@h"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _ := connectionOf(b)
		for _, s := range slices.Concat(c.users, c.databases) {
			if s == "" || len(s) > 128 {
				t.Errorf("a name of %d bytes", len(s))
			}
		}
	})
}
