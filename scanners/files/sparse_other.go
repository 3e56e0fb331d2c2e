//go:build !linux && !darwin && !freebsd

package files

import (
	"io/fs"
	"os"
)

func hasHoles(fs.FileInfo) bool { return false }

type sparse struct {
	*os.File
	size int64
}
