package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// The API gives a step's log as a JSON array of lines. `drone exec` writes `[STEP:LINE] text`.
var droneCI = Format{
	Name:  "drone",
	About: "Drone",
	First: "[",
	Known: true,
	Detect: func(head []byte) bool {
		return bytes.HasPrefix(head, []byte(`[{"pos":`)) || bytes.HasPrefix(head, []byte(`[{"proc":`)) && bytes.Contains(head, []byte(`"pos":`)) || stepLine(head, false) > 0
	},
	Mark: func(b []byte, text int) Mark {
		if n := stepLine(b[text:], false); n > 0 {
			return Mark{Kind: scanners.MarkStep, From: text + 1, To: text + n}
		}
		return Mark{}
	},
}

// stepLine returns where the name ends in `[NAME:12] `, or in Woodpecker's `[NAME:L12:3s] `; 0:
// the line has neither.
func stepLine(b []byte, woodpecker bool) int {
	if len(b) == 0 || b[0] != '[' {
		return 0
	}
	i := 1
	for ; i < len(b) && i < LongestRepeated && (wordByte(b[i]) || b[i] == '-' || b[i] == '.' || b[i] == ' '); i++ {
	}
	name := i
	if name == 1 || i >= len(b) || b[i] != ':' {
		return 0
	}
	i++
	if woodpecker {
		if i >= len(b) || b[i] != 'L' {
			return 0
		}
		i++
	}
	from := i
	for ; i < len(b) && digit(b[i]); i++ {
	}
	if i == from {
		return 0
	}
	if woodpecker {
		if i >= len(b) || b[i] != ':' {
			return 0
		}
		for i++; i < len(b) && (digit(b[i]) || b[i] == 's' || b[i] == 'm' || b[i] == 'h' || b[i] == '.'); i++ {
		}
	}
	if !bytes.HasPrefix(b[i:], []byte("] ")) {
		return 0
	}
	return name
}
