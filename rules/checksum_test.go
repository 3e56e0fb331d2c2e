package rules

import "testing"

func TestChecksumsOfGrafana(t *testing.T) {
	r := &Rule{Checksum: "grafana-crc32"}
	// The test vector of Grafana's pkg/components/satokengen/tokengen_test.go.
	known := "glsa_" + "yscW25imSKJIuav8zF37RZmnbiDvB05G"
	for token, want := range map[string]bool{
		known + "_fcaaf58a":            true,
		known + "_FCAAF58A":            true,
		known + "_fcaaf58b":            false,
		known + "_8af5aafc":            false,
		known[:len(known)-1] + "_fcaa": false,
		"glsa":                         false,
	} {
		if got := r.ValidChecksum(token); got != want {
			t.Errorf("%s: %v", token, got)
		}
	}
}
