package notify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/rules/credential"
)

// Kind is the form that a receiver expects.
type Kind string

// The forms of messages.
const (
	// Text is JSON with one key, "text": Mattermost, Rocket.Chat and others. Which characters have a
	// meaning there is not known, so all that have one in Slack or in Markdown are replaced.
	Text Kind = "text"
	// Slack is the same with Slack's escapes: https://api.slack.com/reference/surfaces/formatting#escaping.
	Slack Kind = "slack"
	// Teams is an Adaptive Card, as Microsoft Teams' workflows take it:
	// https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook.
	Teams Kind = "teams"
	// Webhook is JSON with the fields of the incident, signed.
	Webhook Kind = "webhook"
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{Text, Slack, Teams, Webhook} }

// Fact is a field of a message.
type Fact struct{ Name, Value string }

// Message is what a webhook is sent. Nothing in it is a secret.
type Message struct {
	Event string
	Text  string
	Facts []Fact
	// URL is the incident's page; empty: there is none.
	URL string
	At  time.Time
}

// An issuer's answer, a file's name and a host are strangers' text. It must not notify a channel,
// become a link, or look like a line of quell's.
var (
	// A space of no width ends what would notify people or become a link.
	apart        = strings.NewReplacer("@", "@\u200b", "://", ":\u200b//", "www.", "www\u200b.")
	slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	// A card's text is Markdown.
	cardEscapes = strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "(", `\(`, ")", `\)`, "*", `\*`, "_", `\_`, "`", "\\`", "<", `\<`, ">", `\>`, "#", `\#`, "!", `\!`, "~", `\~`, "|", `\|`)
	// Characters that look like those with a meaning: an escape of one receiver is shown by another.
	alike = strings.NewReplacer("<", "‹", ">", "›", "[", "［", "]", "］", "*", "∗", "`", "ˋ", "~", "∼", "|", "∣", "#", "＃")
	// Within a word it has no meaning, and names of settings have it.
	edge = regexp.MustCompile(`(^|[^\pL\pN])_+|_+($|[^\pL\pN])`)
)

// replaced has no character left that Slack or Markdown gives a meaning.
func replaced(text string) string {
	return edge.ReplaceAllStringFunc(alike.Replace(text), func(s string) string { return strings.ReplaceAll(s, "_", "＿") })
}

// clean makes control characters of a text visible. Its lines stay.
func clean(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = apart.Replace(report.Clean(line))
	}
	return strings.Join(lines, "\n")
}

// Body is the message in a form. It ends with no line break.
func (m Message) Body(k Kind) ([]byte, error) {
	var v any
	switch k {
	case Teams:
		facts := []map[string]string{}
		for _, f := range m.Facts {
			facts = append(facts, map[string]string{"title": f.Name, "value": cardEscapes.Replace(clean(f.Value))})
		}
		first, _, _ := strings.Cut(m.Text, "\n")
		card := map[string]any{
			"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
			"body": []any{
				map[string]any{"type": "TextBlock", "text": cardEscapes.Replace(clean(first)), "wrap": true, "weight": "Bolder"},
				map[string]any{"type": "FactSet", "facts": facts},
			},
		}
		if m.URL != "" {
			card["actions"] = []any{map[string]string{"type": "Action.OpenUrl", "title": "Open the incident", "url": m.URL}}
		}
		v = map[string]any{"type": "message", "attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}}
	case Webhook:
		facts := map[string]string{}
		for _, f := range m.Facts {
			facts[strings.ReplaceAll(strings.ToLower(f.Name), " ", "_")] = report.Clean(f.Value)
		}
		v = struct {
			Version  int               `json:"version"`
			Event    string            `json:"event"`
			At       time.Time         `json:"at"`
			Text     string            `json:"text"`
			URL      string            `json:"url,omitempty"`
			Incident map[string]string `json:"incident"`
		}{1, m.Event, m.At.UTC(), replaced(clean(m.Text)), m.URL, facts}
	default:
		escape := replaced
		if k == Slack {
			escape = slackEscapes.Replace
		}
		text := escape(clean(m.Text))
		if m.URL != "" {
			text += "\n" + m.URL
		}
		body := map[string]any{"text": text}
		if k == Slack {
			body["mrkdwn"] = false // no formats
		}
		v = body
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// SignatureHeader has the time and the signature of a body: t=SECONDS,v1=HEX. The signature is
// HMAC-SHA256 with the webhook's secret over the seconds, a point and the body, so that a receiver
// can refuse a message that is sent again later.
const SignatureHeader = "Quell-Signature"

// Sign signs a body.
func Sign(secret credential.Secret, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, []byte(secret.Reveal()))
	m.Write([]byte(seconds + "."))
	m.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(m.Sum(nil))
}
