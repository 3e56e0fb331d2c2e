package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Name writes a name that is not UTF-8 with its odd bytes percent-encoded.
// Distinct names stay distinct: a name that looks like an encoded one has its
// percent signs encoded. Every other name stays as it is.
func Name(s string) string {
	if utf8.ValidString(s) && (!strings.Contains(s, "%") || utf8.ValidString(decoded(s))) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, "%%%02X", s[i])
		case r == '%' && (strings.HasPrefix(s[i:], "%25") || high(s[i:])):
			b.WriteString("%25")
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// high reports an escape of a byte that is not ASCII, as Name writes it.
func high(s string) bool {
	return len(s) >= 3 && s[0] == '%' && strings.IndexByte("89ABCDEF", s[1]) >= 0 && strings.IndexByte("0123456789ABCDEF", s[2]) >= 0
}

// decoded undoes the encoding of Name, however often it was applied.
func decoded(s string) string {
	for strings.Contains(s, "%25") {
		s = strings.ReplaceAll(s, "%25", "%")
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if high(s[i:]) {
			var c byte
			_, _ = fmt.Sscanf(s[i+1:i+3], "%02X", &c)
			b.WriteByte(c)
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
