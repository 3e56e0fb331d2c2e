package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

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
	if s := text(Slack); !strings.Contains(s, "&lt;https://evil.example|sign in&gt; &amp; more") {
		t.Errorf("slack: %s", s)
	}
	if s := text(Text); !strings.Contains(s, "<https://evil.example|sign in> & more") || !strings.Contains(s, m.URL) {
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
