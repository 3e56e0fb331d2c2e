package cli

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/quellhq/quell/scanners/ci/citest"
)

// names makes files with secrets in each name, title and comment that a format has.
func names(t *testing.T, p *tokens, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "index.html?private_token="+p.next()+"&x=1"), p.text())
	write(t, filepath.Join(dir, url.QueryEscape("https://user:"+p.next()+"@example.com/")), p.text())
	write(t, filepath.Join(dir, base64.RawURLEncoding.EncodeToString([]byte(p.next()))+".txt"), p.text())

	// A mail: its subject, a part's file name, and an archive in it.
	mail := "From: " + p.next() + " <a@example.com>\nSubject: " + p.next() + "\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Disposition: attachment; filename=\"" + p.next() + ".zip\"\nContent-Transfer-Encoding: base64\n\n" +
		base64.StdEncoding.EncodeToString([]byte(zipOf(t, map[string]string{p.next() + ".txt": p.text()}))) + "\n--B--\n"
	write(t, filepath.Join(dir, p.next()+".eml"), mail)
	write(t, filepath.Join(dir, "box.mbox"), "From a Thu Jan  1 00:00:00 2026\n"+mail)

	// A PDF with a title.
	write(t, filepath.Join(dir, p.next()+".pdf"), "%PDF-1.4\n1 0 obj\n<< /Title ("+p.next()+") /Author ("+p.next()+") >>\nendobj\n2 0 obj\n<< /Length 60 >>\nstream\nBT ("+p.text()+") Tj ET\nendstream\nendobj\n%%EOF\n")

	// gzip: the name and the comment of the header, and a name within names.
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Name, z.Comment = p.next(), p.next()
	_, _ = z.Write([]byte(p.text()))
	_ = z.Close()
	write(t, filepath.Join(dir, "a.gz"), b.String())
	b.Reset()
	w := zip.NewWriter(&b)
	_ = w.SetComment(p.next())
	f, _ := w.CreateHeader(&zip.FileHeader{Name: p.next(), Comment: p.next()})
	_, _ = io.WriteString(f, tarOf(t, map[string]string{p.next() + "/" + p.next(): zipOf(t, map[string]string{p.next(): p.text()})}))
	f, _ = w.CreateHeader(&zip.FileHeader{Name: p.next() + ".7z"})
	_, _ = io.WriteString(f, "7z\xbc\xaf\x27\x1cdamaged"+strings.Repeat("\x00", 40))
	_ = w.Close()
	write(t, filepath.Join(dir, p.next()+".jar"), b.String())

	// tar: links, owners and records of PAX.
	b.Reset()
	x := tar.NewWriter(&b)
	_ = x.WriteHeader(&tar.Header{Name: p.next(), Linkname: p.next(), Typeflag: tar.TypeSymlink})
	_ = x.WriteHeader(&tar.Header{Name: strings.Repeat("long/", 60) + p.next(), Uname: p.next(), Typeflag: tar.TypeReg, PAXRecords: map[string]string{"VENDOR.note": p.next()}, Format: tar.FormatPAX})
	_ = x.Close()
	write(t, filepath.Join(dir, "b.tar"), b.String())
	_ = os.Symlink("/nowhere/"+p.next(), filepath.Join(dir, p.next()))

	// A database: table, column and value.
	at := filepath.Join(dir, p.next()+".db")
	db, err := sql.Open("sqlite", "file:"+at)
	if err != nil {
		t.Fatal(err)
	}
	table, column := p.next(), p.next()
	for _, q := range []string{fmt.Sprintf("CREATE TABLE %q (%q TEXT)", table, column), fmt.Sprintf("INSERT INTO %q VALUES ('%s')", table, p.text())} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	_ = db.Close()

	// Names of jobs and steps as systems log them.
	write(t, filepath.Join(dir, "run.log"), fmt.Sprintf("%s\t%s\t2026-11-01T10:00:00.0000000Z %s", p.next(), p.next(), p.text()))
	write(t, filepath.Join(dir, "steps.log"), "2026-11-01T10:00:00.0000000Z ##[group]Run "+p.next()+"\n2026-11-01T10:00:00.1000000Z "+p.text()+"section_start:1700000000:"+p.next()+"[collapsed=true]\r\x1b[0K"+p.next()+"\n"+p.text())
	write(t, filepath.Join(dir, "events.json"), func() string {
		j, _ := json.Marshal(map[string]string{"job": p.next(), "step": p.next(), "message": p.text()})
		return string(j) + "\n"
	}())
}

// labelled is an image with secrets in its config and in the names of its layer.
func labelled(t *testing.T, p *tokens) v1.Image {
	t.Helper()
	layer := tarOf(t, map[string]string{p.next() + "/" + p.next(): p.text(), p.next() + "/.wh." + p.next(): "", p.next() + ".zip": zipOf(t, map[string]string{p.next(): p.text()})})
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(layer)), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: l, History: v1.History{Author: p.next(), CreatedBy: "RUN curl -H 'PRIVATE-TOKEN: " + p.next() + "'", Comment: p.next()}})
	if err == nil {
		img, err = mutate.Config(img, v1.Config{Env: []string{"A=" + p.next()}, Labels: map[string]string{p.next(): p.next()}, Cmd: []string{"sh", "-c", p.next()}, WorkingDir: "/" + p.next(), User: p.next()})
	}
	if err != nil {
		t.Fatal(err)
	}
	return mutate.Annotations(img, map[string]string{"x." + p.next(): p.next()}).(v1.Image)
}

// savedImage is an image as docker save writes it, in a folder and under a tag that are secrets.
func savedImage(t *testing.T, p *tokens) []string {
	t.Helper()
	tag, err := name.NewTag("example.com/team/app:" + p.next())
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), p.next(), "image.tar")
	write(t, at, "")
	if err := tarball.WriteToFile(at, tag, labelled(t, p)); err != nil {
		t.Fatal(err)
	}
	return []string{at}
}

// registryImage is a registry whose tags are secrets.
func registryImage(t *testing.T, p *tokens) []string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	for range 2 {
		tag, err := name.NewTag(host + "/team/app:" + p.next())
		if err == nil {
			err = remote.Write(tag, labelled(t, p))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return []string{host + "/team/*"}
}

// githubRuns are runs whose jobs, steps and artifacts have secrets as names.
func githubRuns(t *testing.T, p *tokens) []string {
	t.Helper()
	s := citest.NewGitHub(t, "o", "the-token-of-the-test")
	r := &citest.Repo{Name: "r"}
	for n := 3; n > 0; n-- {
		logs := map[string]string{"0_" + p.next() + ".txt": p.text(), p.next() + "/1_" + p.next() + ".txt": "2026-11-01T10:00:00.0000000Z ##[group]Run " + p.next() + "\n" + p.text()}
		r.Runs = append(r.Runs, &citest.Run{ID: int64(n), Attempts: 1, Created: time.Unix(1_790_000_000+int64(n), 0), Logs: func(int) map[string]string { return logs }})
		r.Artifacts = append(r.Artifacts, &citest.Artifact{ID: int64(n), Name: p.next(), Run: int64(n), Expired: n == 2, Members: map[string]string{p.next() + "/" + p.next(): p.text(), p.next() + ".gz": "\x1f\x8b\x08damaged"}})
	}
	r.Runs = append([]*citest.Run{{ID: 9, Attempts: 1, Status: "in_progress", Created: time.Unix(1_790_000_100, 0), Jobs: []citest.Job{{ID: 1, Name: p.next(), Status: "in_progress", Log: p.text()}}}}, r.Runs...)
	s.Repos = []*citest.Repo{r}
	return []string{"o/r", "--url", s.Address()}
}
