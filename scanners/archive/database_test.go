package archive_test

import (
	"database/sql"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
	"github.com/quellhq/quell/scanners/detect"
	"github.com/quellhq/quell/scanners/files"
	"github.com/quellhq/quell/scanners/sqlite"
)

// database returns a database with one row, and a row that only its write-ahead log has.
func database(t testing.TB) (file, log []byte) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", p)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range []string{"PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", "CREATE TABLE log (line TEXT)", "INSERT INTO log VALUES ('in the file')", "PRAGMA wal_checkpoint(TRUNCATE)", "INSERT INTO log VALUES ('in the log')"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(q, err)
		}
	}
	return must(os.ReadFile(p)), must(os.ReadFile(p + "-wal"))
}

// A database is a form like an archive: its own bytes are scanned, and then its rows, wherever
// it is.
func TestDatabasesAreAForm(t *testing.T) {
	file, log := database(t)
	damaged := slices.Clone(file)
	for i := 100; i < len(damaged); i++ {
		damaged[i] ^= 0x5a
	}
	large := append(slices.Clone(file), make([]byte, sqlite.MaxSize)...)
	for name, c := range map[string]struct {
		file   []byte
		log    []byte
		rows   []string
		gap    string
		within func([]byte) []byte
	}{
		"a database":                    {file, nil, []string{"in the file"}, "", nil},
		"with a write-ahead log":        {file, log, []string{"in the file", "in the log"}, "", nil},
		"with a damaged log":            {file, log[:len(log)-9], []string{"in the file"}, "write-ahead log: damaged", nil},
		"with a log that is too large":  {file, append(slices.Clone(log), make([]byte, sqlite.MaxSize)...), []string{"in the file"}, "not read with the file", nil},
		"a damaged one":                 {damaged, nil, nil, "database", nil},
		"only how one begins":           {[]byte(sqlite.Magic), nil, nil, "database", nil},
		"larger than what is opened":    {large, nil, nil, "larger than 64 MiB", nil},
		"in a tape archive that is zip": {file, nil, []string{"in the file"}, "", func(b []byte) []byte { return gz(tarOf("x.db", string(b))) }},
	} {
		o := archive.New(archive.DefaultLimits)
		var raw int
		var rows, gaps []string
		var walk func(b io.Reader, beside func(from, to string) (io.ReadCloser, error))
		walk = func(b io.Reader, beside func(from, to string) (io.ReadCloser, error)) {
			all := must(io.ReadAll(b))
			budget := &scanners.Budget{In: func() int64 { return int64(len(all)) }}
			form := o.Recognise(all[:min(len(all), o.Head())], "f")
			if form == "" {
				t.Errorf("%s: no form of %.20q", name, all)
				return
			}
			err := o.Open(t.Context(), form, scanners.Packed{Name: "f", Reader: strings.NewReader(string(all)), Beside: beside}, budget, func(member string, r io.Reader) error {
				as, ok := r.(scanners.AsIs)
				switch {
				case !ok:
					walk(r, nil)
				case member == "":
					raw += len(must(io.ReadAll(as)))
				case member == "rows":
					text := strings.TrimSpace(string(must(io.ReadAll(as))))
					rows = append(rows, strings.Split(text, "\n")...)
					if w := as.Where(len(rows)); !strings.HasPrefix(w, "table log, row ") {
						t.Errorf("%s: %q", name, w)
					}
				}
				return nil
			}, func(_ string, err error) { gaps = append(gaps, err.Error()) })
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		b := c.file
		if c.within != nil {
			b = c.within(b)
		}
		walk(strings.NewReader(string(b)), func(_, suffix string) (io.ReadCloser, error) {
			if suffix != "-wal" || c.log == nil {
				return nil, os.ErrNotExist
			}
			return io.NopCloser(strings.NewReader(string(c.log))), nil
		})
		if raw != len(c.file) || !slices.Equal(rows, c.rows) {
			t.Errorf("%s: %d bytes of %d as they are, rows %q", name, raw, len(c.file), rows)
		}
		if got := strings.Join(gaps, "; "); c.gap == "" && got != "" || !strings.Contains(got, c.gap) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A log is read with the database in its folder. It is reported if there is none, and if the
// database is not among the targets.
func TestALogWithoutItsDatabaseIsReported(t *testing.T) {
	file, log := database(t)
	set := must(rules.Builtin())
	for name, c := range map[string]struct {
		files   map[string][]byte
		targets []string
		gaps    int
	}{
		"both":                     {map[string][]byte{"x.db": file, "x.db-wal": log}, []string{""}, 0},
		"both by name":             {map[string][]byte{"x.db": file, "x.db-wal": log}, []string{"x.db", "x.db-wal"}, 0},
		"the database by name":     {map[string][]byte{"x.db": file, "x.db-wal": log}, []string{"x.db"}, 0},
		"the log by name":          {map[string][]byte{"x.db": file, "x.db-wal": log}, []string{"x.db-wal"}, 1},
		"no database":              {map[string][]byte{"x.db-wal": log}, []string{""}, 1},
		"another database":         {map[string][]byte{"y.db": file, "x.db-wal": log}, []string{""}, 1},
		"another file of its name": {map[string][]byte{"x.db": []byte("text"), "x.db-wal": log}, []string{""}, 1},
		"another name":             {map[string][]byte{"x.db": file, "log": log}, []string{""}, 1},
		"an empty log":             {map[string][]byte{"x.db-wal": log[:32]}, []string{""}, 0},
	} {
		dir := t.TempDir()
		for name, b := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var targets []string
		for _, target := range c.targets {
			targets = append(targets, filepath.Join(dir, target))
		}
		var mu sync.Mutex
		var gaps []string
		p := scanners.Pool{Detector: detect.New(set), Unpacker: archive.New(archive.DefaultLimits)}
		_, err := p.Run(t.Context(), files.Source{Name: "path", Targets: targets}, func(rules.Finding) {}, func(g scanners.Gap) {
			mu.Lock()
			defer mu.Unlock()
			gaps = append(gaps, g.Error())
		})
		if err != nil || len(gaps) != c.gaps {
			t.Errorf("%s: %q, %v", name, gaps, err)
		}
	}
}
