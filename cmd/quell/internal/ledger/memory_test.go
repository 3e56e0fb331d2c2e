package ledger

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestMemoryIsEncryptedAndBoundToItsRules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	l, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := bytes.Repeat([]byte{7}, 32)
	open := func(scope string, key []byte) *Memory {
		t.Helper()
		m, err := l.Memory(scope, key, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open("rules", key)
	const value = "a path with a secret in it"
	if _, ok := m.Recall(t.Context(), "k"); ok {
		t.Error("recalled before it was kept")
	}
	m.Remember(t.Context(), "k", []byte("old"))
	m.Remember(t.Context(), "k", []byte(value))
	m.Remember(t.Context(), "empty", nil)
	if b, ok := m.Recall(t.Context(), "k"); !ok || string(b) != value {
		t.Errorf("%q %v", b, ok)
	}
	if b, ok := m.Recall(t.Context(), "empty"); !ok || len(b) != 0 {
		t.Errorf("%q %v", b, ok)
	}
	if _, ok := open("other rules", key).Recall(t.Context(), "k"); ok {
		t.Error("other rules recall it")
	}
	if _, ok := open("rules", bytes.Repeat([]byte{8}, 32)).Recall(t.Context(), "k"); ok {
		t.Error("another installation reads it")
	}
	// A later build erases the answers that an earlier one kept, and nothing else.
	m.Remember(t.Context(), "ci/answer/1", []byte("an alert's secret"))
	later := open("a later build", key)
	later.Remember(t.Context(), "ci/answer/1", []byte("own"))
	later.ForgetOthers(t.Context(), "ci/answer/")
	if _, ok := m.Recall(t.Context(), "ci/answer/1"); ok {
		t.Error("the answer of an earlier build is still there")
	}
	if _, ok := m.Recall(t.Context(), "k"); !ok {
		t.Error("what was read is forgotten too")
	}
	if b, ok := later.Recall(t.Context(), "ci/answer/1"); !ok || string(b) != "own" {
		t.Errorf("%q %v", b, ok)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{path, path + "-wal"} {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(value)) {
			t.Errorf("%s holds it in clear", filepath.Base(f))
		}
	}
}
