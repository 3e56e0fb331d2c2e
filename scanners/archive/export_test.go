package archive

// DecodeLZW exports unLZW for tests.
func DecodeLZW(b []byte) string {
	out, _ := unLZW(b, 1<<20)
	return string(out)
}
