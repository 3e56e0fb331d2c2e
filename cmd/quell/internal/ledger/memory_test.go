package ledger

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
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
	if _, ok := m.Get(t.Context(), "k"); ok {
		t.Error("recalled before it was kept")
	}
	m.Put(t.Context(), "k", []byte("old"))
	m.Put(t.Context(), "k", []byte(value))
	m.Put(t.Context(), "empty", nil)
	if b, ok := m.Get(t.Context(), "k"); !ok || string(b) != value {
		t.Errorf("%q %v", b, ok)
	}
	if b, ok := m.Get(t.Context(), "empty"); !ok || len(b) != 0 {
		t.Errorf("%q %v", b, ok)
	}
	if _, ok := open("other rules", key).Get(t.Context(), "k"); ok {
		t.Error("other rules recall it")
	}
	if _, ok := open("rules", bytes.Repeat([]byte{8}, 32)).Get(t.Context(), "k"); ok {
		t.Error("another installation reads it")
	}
	// A later build erases the answers that an earlier one kept, and nothing else.
	m.Put(t.Context(), "ci/answer/1", []byte("an alert's secret"))
	later := open("a later build", key)
	later.Put(t.Context(), "ci/answer/1", []byte("own"))
	later.ForgetOthers(t.Context(), "ci/answer/")
	if _, ok := m.Get(t.Context(), "ci/answer/1"); ok {
		t.Error("the answer of an earlier build is still there")
	}
	if _, ok := m.Get(t.Context(), "k"); !ok {
		t.Error("what was read is forgotten too")
	}
	if b, ok := later.Get(t.Context(), "ci/answer/1"); !ok || string(b) != "own" {
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

// Values that other rules stored are erased once an hour. A sweep for each stored value would
// read the whole table each time, so that a scan of n runs would cost n².
func TestMemoryIsSweptOnceAnHour(t *testing.T) {
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "state.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	key := bytes.Repeat([]byte{7}, 32)
	others, _ := l.Memory("other rules", key, func(err error) { t.Error(err) })
	own, _ := l.Memory("rules", key, func(err error) { t.Error(err) })
	kept := func(m *Memory, key string) bool {
		_, ok := m.Get(t.Context(), key)
		return ok
	}
	// age makes a value older than it may become.
	age := func(key string) {
		t.Helper()
		others.Put(t.Context(), key, nil)
		if _, err := l.db.ExecContext(t.Context(), `UPDATE memory SET at = ? WHERE key = ?`, time.Now().Add(-forget-time.Minute).Unix(), key); err != nil {
			t.Fatal(err)
		}
	}
	others.Put(t.Context(), "young", nil)
	age("old")
	own.Put(t.Context(), "k", nil)
	if kept(others, "old") || !kept(others, "young") || !kept(own, "k") {
		t.Error("the first value erases what is old, and nothing else")
	}
	age("later")
	own.Put(t.Context(), "k2", nil)
	if !kept(others, "later") {
		t.Error("each value reads the whole table")
	}
	own.swept.Add(-int64(sweep / time.Second))
	own.Put(t.Context(), "k3", nil)
	if kept(others, "later") || !kept(own, "k") || !kept(own, "k3") {
		t.Error("the next hour's sweep does not erase what is old")
	}
}
