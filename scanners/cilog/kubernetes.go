package cilog

// The kubelet's files (CRI): a time, the stream, and F, or P where the line continues in the
// next one.
var kubernetesCRI = Format{
	About: "containers' log files of Kubernetes (CRI)",
	First: "0",
	Line: func(b []byte, stamp int) Line {
		if stamp == 0 {
			return Line{}
		}
		r := b[stamp:]
		for _, stream := range []string{"stdout ", "stderr "} {
			if k := len(stream); len(r) >= k+2 && string(r[:k]) == stream && (r[k] == 'F' || r[k] == 'P') && r[k+1] == ' ' {
				return Line{Prefix: stamp + k + 2, Continues: r[k] == 'P'}
			}
		}
		return Line{}
	},
}
