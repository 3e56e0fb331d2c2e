package archive

import (
	"fmt"
	"io"

	"github.com/cavaliergopher/cpio"
)

// uncpio opens a cpio archive and those that follow it, as in an initial RAM disk.
func uncpio(o *opening) error {
	r := cpio.NewReader(o.in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			more, err := Padding(o.buf)
			if err != nil {
				return err
			}
			if more {
				if head, _ := o.buf.Peek(6); string(head) == "070701" || string(head) == "070702" {
					r = cpio.NewReader(o.in)
					continue
				}
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("cpio: %w", err)
		}
		o.note(h.Name, h.Linkname)
		// Only a link has no content, whatever its mode states.
		if h.Size == 0 && !h.Mode.IsRegular() {
			continue
		}
		if err := o.member(clean(h.Name), &promised{r: r, size: uint64(h.Size)}); err != nil {
			return err
		}
	}
}
