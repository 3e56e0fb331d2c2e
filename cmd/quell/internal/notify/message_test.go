package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules/credential"
)

func TestNamesOfStrangersStayText(t *testing.T) {
	m := Message{Event: "live", Text: "quell: <https://evil.example|sign in> & more\nnext", Facts: []Fact{{"Rule", "[sign in](https://evil.example)"}}, URL: "https://quell.corp.example/incidents/a", At: time.Unix(1, 0)}
	text := func(k Kind) string {
		b, err := m.Body(k)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b) {
			t.Errorf("%s: %s", k, b)
		}
		return string(b)
	}
	if s := text(Slack); !strings.Contains(s, "&lt;https:\u200b//evil.example|sign in&gt; &amp; more") || !strings.Contains(s, `"mrkdwn":false`) || !strings.Contains(s, m.URL) {
		t.Errorf("slack: %s", s)
	}
	if s := text(Text); !strings.Contains(s, "‹https:\u200b//evil.example∣sign in› & more") || !strings.Contains(s, m.URL) {
		t.Errorf("text: %s", s)
	}
	var card struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type    string
				Body    []map[string]any
				Actions []map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(text(Teams)), &card); err != nil {
		t.Fatal(err)
	}
	c := card.Attachments[0]
	facts, _ := json.Marshal(c.Content.Body[1]["facts"])
	if card.Type != "message" || c.ContentType != "application/vnd.microsoft.card.adaptive" || c.Content.Type != "AdaptiveCard" || c.Content.Actions[0]["url"] != m.URL || strings.Contains(string(facts), "](") {
		t.Errorf("teams: %+v", card)
	}
	if s := text(Webhook); !strings.Contains(s, `"incident":{"rule":"[sign in](https://evil.example)"}`) {
		t.Errorf("webhook: %s", s)
	}
}

// No form of a message notifies a channel, formats text or has control characters, whatever an
// issuer or a file's name puts into it.
func TestTextOfStrangersHasNoMeaning(t *testing.T) {
	parts := []string{"<!channel>", "<@U024BE7LH>", "<!subteam^SAZ94GDB8>", "@here", "@channel", "@all", "@everyone", "<at>alice</at>", "[sign in](https://evil.example)", "![x](https://evil.example/p.png)", "<https://evil.example|sign in>", "https://evil.example", "www.evil.example",
		"*b*", "_i_", "`c`", "~s~", "\x1b[2J", "\r", "\x00", "\u202e", "\u2066", "\u2028", "\u0085", "\t", "# h", "| a | b |", "a\n- b"}
	decode := func(b []byte) (out []string) {
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				out = append(out, v)
			case []any:
				for _, x := range v {
					walk(x)
				}
			case map[string]any:
				for _, x := range v {
					walk(x)
				}
			}
		}
		walk(v)
		return out
	}
	for _, k := range Kinds() {
		for _, p := range parts {
			b, err := Message{Event: "live", Text: "quell: " + p + ". x", Facts: []Fact{{"Detail", p}}, At: time.Unix(1, 0)}.Body(k)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range decode(b) {
				if s == "http://adaptivecards.io/schemas/adaptive-card.json" {
					continue
				}
				for _, r := range s {
					if r != '\n' && r != '\u200b' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
						t.Errorf("%s: %q has %U", k, s, r)
					}
				}
				if k == Webhook && s == report.Clean(p) {
					continue // a field for programs
				}
				plain := s
				if k == Teams {
					plain = regexp.MustCompile(`\\.`).ReplaceAllString(s, "")
				}
				if bad := regexp.MustCompile(`<[!@a#]|<http|@[a-z]|://|www\.`).FindString(plain); bad != "" {
					t.Errorf("%s: %q has %q", k, s, bad)
				}
				if k != Slack && strings.Contains(plain, "](") {
					t.Errorf("%s: %q has a link", k, s)
				}
				if k != Slack && regexp.MustCompile(`[*`+"`"+`~|<>]|\b_i_\b|(^|\s)_i|i_($|\s)`).MatchString(plain) {
					t.Errorf("%s: %q has a format", k, s)
				}
			}
		}
	}
}

// A receiver checks the signature as documented.
func TestSignature(t *testing.T) {
	at, body := time.Unix(1764500000, 0), []byte(`{"version":1}`)
	got := Sign(credential.NewSecretString("made-up"), at, body)
	m := hmac.New(sha256.New, []byte("made-up"))
	m.Write([]byte(`1764500000.{"version":1}`))
	if want := "t=1764500000,v1=" + hex.EncodeToString(m.Sum(nil)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
