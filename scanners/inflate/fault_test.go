//go:build unix

package inflate

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/quellhq/quell/rules/testenv"
)

// If a mapped file is truncated during decoding, the caller can recover from the panic, even
// when assembly reads the mapping.
func TestAMappingThatIsCutIsAPanic(t *testing.T) {
	text := texts(t)[12]
	z := deflated(t, text, 1)
	name := filepath.Join(t.TempDir(), "stream")
	if err := os.WriteFile(name, z, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := syscall.Mmap(int(f.Fd()), 0, len(z), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		testenv.Missing(t, "a file that can be mapped")
	}
	defer syscall.Munmap(b)
	if err := os.Truncate(name, int64(len(z)/2)); err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	dst := make([]byte, len(text), len(text)+300)
	var x any
	func() {
		defer func() { x = recover() }()
		_, err = (&Decoder{}).Decode(dst, b)
	}()
	if x == nil {
		t.Fatal("no panic", err)
	}
	if n := len(text) / 4; !bytes.Equal(dst[:n], text[:n]) {
		t.Error("what stands before it is not decoded")
	}
}
