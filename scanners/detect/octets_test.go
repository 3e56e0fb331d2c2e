package detect

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// A finding in bytes that a program printed one by one is at the numbers of its own bytes.
func TestListedBytesAreFoundAtTheirPlace(t *testing.T) {
	e := New(builtin(t))
	token := withSum("ghp_" + "Zk3xV9qLw2Rt7YbN5cHd8Jf4Gs6Pm1")
	list := func(verb, separator string) string {
		var parts []string
		for _, c := range []byte("token " + token) {
			parts = append(parts, fmt.Sprintf(verb, c))
		}
		return strings.Join(parts, separator)
	}
	for name, c := range map[string]struct{ before, verb, separator, after string }{
		"a buffer of Node as JSON":  {`{"type":"Buffer","data":[`, "%d", ",", "]}"},
		"a buffer of Node":          {"<Buffer ", "%02x", " ", ">"},
		"a slice of Go":             {"body=[", "%d", " ", "]"},
		"a slice of Go in its code": {"[]byte{", "0x%x", ", ", "}"},
		"a line for each":           {"\"data\": {\"type\": \"Buffer\", \"data\": [\n  ", "%d", ",\n  ", "\n]}"},
		"colons between":            {"data: ", "%02x", ":", ""},
	} {
		text := "a line\n" + c.before + list(c.verb, c.separator) + c.after + "\n"
		first := strings.Index(text, fmt.Sprintf(c.verb+c.separator+c.verb+c.separator+c.verb, 'g', 'h', 'p'))
		want := fmt.Sprint("github-pat ", first, " ", token)
		if got := run(t, e, []byte(text), 0); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	// Binary data is left alone, and so is a short list.
	for _, text := range []string{"[" + strings.Repeat("200, 3, ", 200) + "1]", "[116, 111, 107]", "key: " + strings.Repeat("a1:0f:", 20) + "00"} {
		if got := run(t, e, []byte(text+"\n"), 0); len(got) > 0 {
			t.Errorf("%.20s: %v", text, got)
		}
	}
}

func TestAnAddressOfADumpIsReadAsTheExpressionDoes(t *testing.T) {
	re := regexp.MustCompile(`^[ \t]{0,16}(?:0x[0-9a-f]{4}:[ ]{1,2}|[0-9a-f]{4,8}[ ]{2,3}|\|[0-9a-f]{8}\|[ ])`)
	pieces := []string{" ", "  ", "\t", "                ", "0x", "0010", "00000010", "a", "F", "|", ":", ": ", "| ", "\n"}
	found := 0
	for range 200_000 {
		s := ""
		for range 1 + rand.IntN(6) {
			s += pieces[rand.IntN(len(pieces))]
		}
		want := len(re.FindString(s))
		if got := rowAddress([]byte(s)); got != want {
			t.Fatalf("%q: %d, want %d", s, got, want)
		}
		if want > 0 {
			found++
		}
	}
	if found == 0 {
		t.Error("no text had an address")
	}
}
