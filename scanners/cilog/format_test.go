package cilog

import (
	"strings"
	"testing"
)

func TestLinesOfEachFormat(t *testing.T) {
	for _, c := range []struct {
		line string
		want Line
	}{
		{"2026-05-03T01:16:34.3352086Z text\n", Line{Prefix: 29}},
		{"2026-05-03T01:16:34+02:00 text\n", Line{Prefix: 26}},
		{"2026-05-03T01:16:34.335Ztext\n", Line{}},
		{"\ufeff2026-05-03T01:16:34.3352086Z text\n", Line{Prefix: 32}},
		{"\ufefftext of a line\n", Line{}},
		{"2024-05-22T12:43:46.962646Z 00O text\n", Line{Prefix: 32}},
		{"2024-05-22T12:43:46.962646Z 01E+text\n", Line{Prefix: 32, Joins: true}},
		{"2024-05-22T12:43:46.962646Z 01X text\n", Line{Prefix: 28}},
		{"2016-10-06T00:17:09.669794202Z stdout P text\n", Line{Prefix: 40, Continues: true}},
		{"2016-10-06T00:17:09.669794202Z stderr F text\n", Line{Prefix: 40}},
		{`{"log":"text\n","stream":"stdout","time":"x"}` + "\n", Line{Prefix: 8, Trailer: 34, Keep: 1}},
		{`{"log":"text","stream":"stdout","time":"x"}` + "\n", Line{Prefix: 8, Trailer: 32, Keep: 1, Continues: true}},
		{"[2026-05-04T13:55:01.123Z] text\n", Line{Prefix: 27}},
		{"[00:01:23] text\n", Line{Prefix: 11}},
		{"00:01:23  text\n", Line{Prefix: 10}},
		{"00:01:23 text\n", Line{}},
		{"[08:02:41]i:\t\t [Block] text\n", Line{Prefix: 15}},
		{"[08:02:41]x:\t text\n", Line{}},
		{"[Container] 2024/05/01 10:00:00.123456 text\n", Line{Prefix: 39}},
		{"[Container] text\n", Line{}},
		{"[2026-04-10 17:17:22Z INFO StepsRunner] text\n", Line{Prefix: 40}},
		{"[2026-04-10 17:17:22Z ERR  Worker] text\n", Line{Prefix: 35}},
		{"[2026-04-10 17:17:22Z NOTE Worker] text\n", Line{}},
		{"[2026-04-10 17:17:22Z INFO two words] text\n", Line{}},
		{"Step #0: text\n", Line{Prefix: 9}},
		{`Step #0 - "build": text` + "\n", Line{Prefix: 19}},
		{"Step #0 is done\n", Line{}},
		{"a line of text\n", Line{}},
		{"[]\n", Line{}},
	} {
		if got := Recognise([]byte(c.line)); got != c.want {
			t.Errorf("%q: %+v, not %+v", c.line, got, c.want)
		}
		if c.want.Prefix > 0 && !First[c.line[0]] {
			t.Errorf("%q: First lacks its first byte", c.line)
		}
	}
}

func TestTheFirstSignIdentifiesTheSystem(t *testing.T) {
	const github, azure = "Current runner version: '2.317.0'\n", "##[section]Starting: Job\n"
	for head, want := range map[string]string{
		github:         "github",
		azure:          "azure",
		github + azure: "github",
		azure + github: "azure",
		"[2026-04-10 17:17:20Z INFO HostContext] Runner is ready\n" + github:       "github_runner",
		"[2026-04-10 17:17:20Z INFO AgentProcess] Agent is built\n":                "",
		"text\n[2026-04-10 17:17:20Z INFO HostContext] Runner is ready\n" + github: "github",
		"":                                     "",
		strings.Repeat("x\n", 10<<10) + github: "", // too late to be the beginning
	} {
		if got := System([]byte(head)); got != want {
			t.Errorf("%.60q: %q, not %q", head, got, want)
		}
	}
}

// Every recognised part is within its line, for any content of the line.
func FuzzRecognise(f *testing.F) {
	for _, s := range []string{"2024-05-22T12:43:46.962646Z 00O+x", `{"log":"a\n","stream":"stdout"}`, "[08:02:41]i:\t [Step 1/2] x\n", "[Container] 2024/05/01 10:00:00 Entering phase A\n",
		"Step #0 - \"a\": x", "section_start:1:a[b=c]\r\x1b[0K", "travis_fold:end:x\r\x1b[0K", "\x1b_bk;t=1\x07--- x", "\x1b[8mha:x\x1b[0m[Pipeline] { (x)\n", "name-1  | x", "[a] b"} {
		f.Add([]byte(s), 4)
	}
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		x := Recognise(b)
		if x.Prefix < 0 || x.Trailer < 0 || x.Keep < 0 || x.Prefix > len(b) || x.Trailer > len(b) || x.Keep > x.Trailer {
			t.Fatalf("%+v in %d bytes", x, len(b))
		}
		if r := Repeated(b); len(r) > LongestRepeated {
			t.Fatalf("a prefix of %d bytes", len(r))
		}
		System(b)
		in := func(_ string, m Mark) {
			if m.From < 0 || m.From > m.To || m.To > len(b) {
				t.Fatalf("%+v in %d bytes", m, len(b))
			}
		}
		if len(b) > 0 {
			Marks(b, x.Prefix, in)
		}
		for at := range b {
			Controls(b, at, min(max(1, n), len(b)-at), in)
		}
	})
}
