package cilog

import (
	"bytes"

	"github.com/quellhq/quell/scanners"
)

// No times and no marks but the commands, as `set -x` shows them. The clone comes first, with the
// token as the name of its variable, which is how Bitbucket masks.
var bitbucket = Format{
	Name:  "bitbucket",
	About: "Bitbucket Pipelines",
	First: "+",
	Known: true,
	Detect: func(head []byte) bool {
		return bytes.HasPrefix(head, []byte("+ umask 000")) || bytes.Contains(head, []byte("x-token-auth:$REPOSITORY_OAUTH_ACCESS_TOKEN@")) ||
			bytes.Contains(head, []byte("+ GIT_LFS_SKIP_SMUDGE=1 retry 6 git clone "))
	},
	Mark: tracedCommand,
}

// tracedCommand reads `+ COMMAND`.
func tracedCommand(b []byte, text int) Mark {
	if bytes.HasPrefix(b[text:], []byte("+ ")) {
		return named(scanners.MarkGroup, b, text+2)
	}
	return Mark{}
}
