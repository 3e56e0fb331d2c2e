package cilog

// `name-1  | text`: only an adjacent line with the same name shows that it is a prefix.
var dockerCompose = Format{
	About: "docker compose",
	Repeated: func(b []byte) int {
		i := 0
		for i < len(b) && (wordByte(b[i]) || b[i] == '-' || b[i] == '.') {
			i++
		}
		if i == 0 {
			return 0
		}
		k := i
		for k < len(b) && b[k] == ' ' {
			k++
		}
		if k == i || k+1 >= len(b) || b[k] != '|' || b[k+1] != ' ' {
			return 0
		}
		return k + 2
	},
}
