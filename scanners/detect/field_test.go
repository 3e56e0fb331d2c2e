package detect

import (
	"bytes"
	"testing"
)

func TestAFieldEndsAtItsOwnDelimiter(t *testing.T) {
	for name, c := range map[string]struct{ text, name, want string }{
		"a header":                            {"> Authorization: Bearer a1|b:c.d~e\r\n", "Authorization", "Bearer a1|b:c.d~e"},
		"quotes may contain anything":         {`"token": "a, b; c"`, "token", "a, b; c"},
		"escaped quotes end it":               {`{\"token\":\"abc\",\"x\":1}`, "token", "abc"},
		"a pair of strings":                   {"'authorization', 'Bearer abc'", "authorization", "Bearer abc"},
		"byte strings":                        {"(b'authorization', b'Bearer abc')", "authorization", "Bearer abc"},
		"binaries of Erlang":                  {`{<<"authorization">>,<<"Bearer abc">>}`, "authorization", "Bearer abc"},
		"pairs over lines":                    {"'authorization',\n  'Bearer abc',\n", "authorization", "Bearer abc"},
		"a list of one":                       {"map[Authorization:[Bearer abc] Host:[x]]", "Authorization", "Bearer abc"},
		"a typed list":                        {`"Authorization":[]string{"Bearer abc"}`, "Authorization", "Bearer abc"},
		"a member that is called value":       {`{"name": "token", "type": "text", "value": "abc"}`, "token", "abc"},
		"the value before the name":           {`{"value": "abc", "name": "token"}`, "token", "abc"},
		"attributes":                          {`<add key="token" value="abc" />`, "token", "abc"},
		"an element":                          {"<token>abc</token>", "token", "abc"},
		"two elements":                        {"<p>authorization</p>\n<p name=\"v\">Bearer abc</p>", "authorization", "Bearer abc"},
		"a nested object":                     {`"token": {"sensitive": true, "value": "abc"}`, "token", "abc"},
		"a folded scalar":                     {"token: >-\n  abc\nnext: 1\n", "token", "abc"},
		"a length before it":                  {"[\"token\"]=>\n  string(3) \"abc\"\n", "token", "abc"},
		"a flag":                              {"tool --token abc --quiet", "--token", "abc"},
		"a sentence's stop is not part":       {"token: abc.\n", "token", "abc"},
		"a comparison assigns nothing":        {"if token == other {", "token", ""},
		"the next line is another variable's": {"TOKEN=\nOTHER=abc\n", "TOKEN", ""},
		"a call is no value":                  {"token: next(abc)", "token", "next(abc"},
	} {
		at := bytes.Index([]byte(c.text), []byte(c.name))
		f, ok := readField([]byte(c.text), span{at, at + len(c.name)})
		got := c.text[f.value.start:f.value.end]
		if ok != (c.want != "") || got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzReadField(f *testing.F) {
	for _, s := range []string{`"token": {"value": "abc"}`, "token: >-\n abc", `<a name="token" value="b"/>`, "(b'token', b'abc')", "[token] => \\"} {
		f.Add([]byte(s), 1, 5)
	}
	f.Fuzz(func(t *testing.T, b []byte, start, n int) {
		if start < 0 || n < 0 || start > len(b) || n > len(b)-start {
			return
		}
		v, ok := readField(b, span{start, start + n})
		if ok && (v.value.start < 0 || v.value.start >= v.value.end || v.value.end > len(b)) {
			t.Fatalf("%v of %d bytes", v.value, len(b))
		}
	})
}
