package cilog

import "bytes"

// `[name] text`, of a task's step, and of Jenkins' parallel branches: only an adjacent line with
// the same name shows that it is a prefix.
var tekton = Format{
	About: "Tekton, and parallel branches of Jenkins",
	Repeated: func(b []byte) int {
		if len(b) == 0 || b[0] != '[' {
			return 0
		}
		i := bytes.IndexByte(b, ']')
		if i < 2 || i+1 >= len(b) || b[i+1] != ' ' {
			return 0
		}
		return i + 2
	},
}
