package detect

import (
	"math/rand/v2"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

// An automaton of an allow-list's expressions gives the same result as the expressions.
func TestAllowlistsByAutomaton(t *testing.T) {
	e := New(builtin(t))
	lists := e.allow
	for _, r := range e.rules {
		lists = append(lists, r.allow...)
	}
	r := rand.New(rand.NewPCG(41, 42))
	pieces := []string{"true", "False", "null", "a", "Z", "aaaa", "0", "9f", "_", "-", ".", "$", "${", "}", "{{", "%", "sha256:", "md5-", "example", "https:", "/usr/", "--mount=type=secret,", "LICENSE", `="x"`, "=", " ", "\n", "é", "ſ", "\u212a", "\xff", "s.", "changeme", "xxxx", "*", "id-", "sid"}
	s := &scratch{}
	known, yes, no := 0, 0, 0
	for _, a := range lists {
		if len(a.Regexes) == 0 {
			continue
		}
		if known++; a.prog() == nil {
			a.test.asked.Store(testsBefore)
		}
		for range 600 / fewer {
			text := ""
			for range 1 + r.IntN(6) {
				text += pieces[r.IntN(len(pieces))]
			}
			want := a.RegexAllowed(text)
			if got := s.matches(a, text); got != want {
				t.Fatalf("%v in %q: %v", a.Regexes, text, got)
			}
			if want {
				yes++
			} else {
				no++
			}
		}
	}
	if known < 10 || yes < 200/fewer || no < 200/fewer {
		t.Errorf("%d lists, %d matches, %d without", known, yes, no)
	}
}

// A test gives the result of its expression, with and without its automaton.
func TestTestsByAutomaton(t *testing.T) {
	testenv.Sequential(t)
	pieces := []string{"key", "Token", "AUTH", "api_key", "_id", "Id", "page", "cache-", "0123456789abcdef", "deadbeef", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "QWERTYUIOPASDFGHJKLZ", "9f", "-", "_",
		".", "$(", "{{", "%41", "https:", "0x1F", "example", "Signature", "=", ": ", "\"", "'", "\\", ",", " ", "\n", "ENV ", "é", "…", "ſ", "\u212a", "\xff", "badge.svg?token=", "user:secret", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FUR",
		"session", "sid", "s:", "12345678-1234-1234-1234-1234567890ab", "ssh-keys", "password"}
	r := rand.New(rand.NewPCG(43, 44))
	yes, no, quick := 0, 0, 0
	for _, x := range []*test{hexRE, typedRE, certificateRE, notValueRE, exampleRE, pageRE, badgeRE, nameKeyRE, percentRE, envRE, uuidRE, structureRE, sessionNameRE, strongNameRE,
		cacheKeyRE, resourceRE, idRE, sessionIDRE, listedRE, signedRE, hashedRE, printRE, keyNameRE, grantsRE, notNameRE, otherUseRE, bareKeyRE, accessRE} {
		x.asked.Store(testsBefore)
		for range 2000 / fewer {
			text := ""
			for range r.IntN(6) {
				text += pieces[r.IntN(len(pieces))]
			}
			want := x.expr([]byte(text))
			if _, known := x.quick([]byte(text)); known {
				quick++
			}
			if got := x.MatchString(text); got != want {
				t.Fatalf("%q: %v, the expression %v", text, got, want)
			}
			if want {
				yes++
			} else {
				no++
			}
		}
	}
	if yes < 2000/fewer || no < 2000/fewer || quick < 28*1000/fewer {
		t.Errorf("%d matches, %d without, %d decided by the automaton", yes, no, quick)
	}
}

// A test whose automaton has ever new states goes on with its expression.
func TestTestsOfEverNewStates(t *testing.T) {
	x := newTest(`[ab]*a[ab]{12}c`)
	x.asked.Store(testsBefore)
	r := rand.New(rand.NewPCG(45, 46))
	for range 400 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = "ab"[r.IntN(2)]
		}
		if r.IntN(2) == 0 {
			b[len(b)-1] = 'c'
		}
		if x.Match(b) != x.expr(b) {
			t.Fatalf("%q", b)
		}
	}
	if x.full.Load() < mostFull {
		t.Errorf("the automaton was full %d times", x.full.Load())
	}
}
