package git

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/quellhq/quell/scanners/git/pack"
)

// Partial reports whether the repository at dir omits some of its history or objects by design:
// a shallow or a partial clone.
func Partial(dir string) (bool, error) {
	r, err := (&session{Source: &Source{}}).open(dir, "")
	if err != nil {
		return false, err
	}
	defer r.close()
	return r.promisor || len(r.boundaries()) > 0, nil
}

// Has reports whether the repository at dir has the commit that a revision names.
func Has(dir, revision string) bool {
	r, err := (&session{Source: &Source{}}).open(dir, "")
	if err != nil {
		return false
	}
	defer r.close()
	i, err := r.revision(revision)
	return err == nil && r.has([]byte(i))
}

// Empty makes an empty repository.
func Empty(dir string) error {
	for _, d := range []string{"objects", "refs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "HEAD"), []byte("ref: refs/heads/main\n"), 0o600)
}

// maxFile is the size limit, in bytes, for a file of a commit that is read by its name.
const maxFile = 8 << 20

// File reads a file as a commit has it, not as the work tree does. An error that is
// fs.ErrNotExist means that the commit has no such file; any other error means that this is
// unknown.
func File(dir, revision, name string) ([]byte, error) {
	r, err := (&session{Source: &Source{}}).open(dir, "")
	if err != nil {
		return nil, err
	}
	defer r.close()
	i, err := r.revision(revision)
	if err != nil {
		return nil, err
	}
	i, kind := r.tip(i)
	if kind != pack.Commit {
		return nil, fmt.Errorf("%s: not a commit", revision)
	}
	_, b, err := r.get([]byte(i))
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", i, err)
	}
	at := parseCommit(i, b, r.hashLen).tree
	parts := strings.Split(path.Clean(filepath.ToSlash(name)), "/")
	for k, p := range parts {
		_, b, err := r.get([]byte(at))
		if err != nil {
			return nil, fmt.Errorf("tree %s: %w", at, err)
		}
		found := false
		for _, e := range entries(b, r.hashLen) {
			if e.name == p && !e.isLink() && e.isTree() == (k < len(parts)-1) {
				at, found = e.id, true
			}
		}
		if !found {
			return nil, fmt.Errorf("%s at %s: %w", name, revision, os.ErrNotExist)
		}
	}
	_, b, err = r.get([]byte(at))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s at %s: %w", name, revision, err)
	case len(b) > maxFile:
		return nil, errors.New(name + ": larger than is read of a file by its name")
	}
	return b, nil
}
