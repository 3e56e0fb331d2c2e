package cli

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"

	"github.com/quellhq/quell/cmd/quell/internal/report"
)

// terminal is the file descriptor of a stream that is a terminal.
func terminal(stream any) (fd int, ok bool) {
	f, ok := stream.(*os.File)
	if !ok {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// style is how text looks on w: wrapped and coloured on a terminal alone, without
// colours if NO_COLOR is set (https://no-color.org) or the terminal has none.
func (a *app) style(w io.Writer, show report.Show) report.Style {
	s := report.Style{Show: show}
	if fd, ok := terminal(w); ok {
		s.Width = a.columns(fd)
		s.Color = a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
	}
	return s
}

// columns returns the width of a terminal; 80 if it is unknown.
func (a *app) columns(fd int) int {
	if w, _, err := term.GetSize(fd); err == nil && w > 0 {
		return w
	}
	if w, err := strconv.Atoi(a.getenv("COLUMNS")); err == nil && w > 0 {
		return w
	}
	return 80
}
