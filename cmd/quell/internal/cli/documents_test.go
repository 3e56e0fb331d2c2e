package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every quell command in a code block of the documents names commands, flags and
// numbers of arguments that exist.
func TestCommandsOfTheDocuments(t *testing.T) {
	const top = "../../../.."
	files, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```[a-z]*\n(.*?)```")
	n := 0
	for _, file := range append(files, filepath.Join(top, "README.md")) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range block.FindAllStringSubmatch(string(b), -1) {
			for _, line := range strings.Split(strings.ReplaceAll(m[1], "\\\n", " "), "\n") {
				command, ok := quellIn(line)
				if !ok {
					continue
				}
				n++
				root := newApp().root()
				root.InitDefaultCompletionCmd("completion")
				sub, args, err := root.Find(command)
				if err == nil {
					err = sub.ParseFlags(args)
				}
				if err == nil && sub.Args != nil {
					err = sub.Args(sub, sub.Flags().Args())
				}
				if err != nil {
					t.Errorf("%s: %q: %v", filepath.Base(file), line, err)
				}
			}
		}
	}
	if n < 25 {
		t.Errorf("only %d commands", n)
	}
}

// shellWords are words of shell, quoted ones whole.
var shellWords = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)

// quellIn is the quell command of a line of shell, up to what belongs to the shell.
func quellIn(line string) ([]string, bool) {
	line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ "), " #")
	words := shellWords.FindAllString(line, -1)
	for len(words) > 0 && (strings.Contains(words[0], "=") && !strings.HasPrefix(words[0], "-") || words[0] == "-") {
		words = words[1:]
	}
	if len(words) < 2 || words[0] != "quell" {
		return nil, false
	}
	var out []string
	for _, w := range words[1:] {
		if strings.Trim(w, "|<>&;12") == "" && strings.ContainsAny(w, "|<>&;") {
			break
		}
		out = append(out, strings.Trim(w, `'"`))
	}
	return out, true
}
