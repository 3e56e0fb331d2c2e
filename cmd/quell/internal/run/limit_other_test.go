//go:build !linux

package run

import "testing"

func limitFiles(t *testing.T, bytes uint64) {
	if bytes != 0 {
		t.Skip("no limit of the size of files")
	}
}
