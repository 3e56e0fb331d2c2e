package cilog

// The time since the build began, in brackets: `[00:01:23] text`.
var appVeyor = Format{
	Name:  "appveyor",
	About: "AppVeyor",
	First: "[",
	Line: func(b []byte, _ int) Line {
		if n := bracketed(b); n == len(clock)+2 && n < len(b) && b[n] == ' ' {
			return Line{Prefix: n + 1}
		}
		return Line{}
	},
}
