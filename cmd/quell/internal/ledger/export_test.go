package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// exported is a ledger of three incidents with text that encodings treat
// specially, and its export.
func exported(t *testing.T) (*Ledger, []byte, Checkpoint) {
	t.Helper()
	l, _ := open(t)
	for _, i := range []string{"abc1", "abd2", "abe3"} {
		add(t, l, entriesOf(i)...)
		add(t, l, Entry{Incident: i, Actor: "<a & b>\u2028", Body: Notice{Message: "<tag> & \"quote\" \u00e9"}})
	}
	c, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	x, err := l.Export(t.Context(), &b)
	if err != nil || x.Entries != c.Count || x.Last != c.ID {
		t.Fatalf("%+v %v", x, err)
	}
	return l, b.Bytes(), c
}

func TestAnExportIsCheckedWithoutTheLedger(t *testing.T) {
	l, b, c := exported(t)
	x, err := CheckExport(bytes.NewReader(b), &c)
	if err != nil || x.Entries != c.Count || !x.Kept || encodeKey(x.Checkpoint.Key) != l.PublicKey() {
		t.Errorf("%+v %v", x, err)
	}
	if _, err := CheckExport(bytes.NewReader(b), nil); err != nil {
		t.Error(err)
	}
}

func TestAProofHasTheEntriesFromTheIncidentToTheCheckpoint(t *testing.T) {
	l, _, c := exported(t)
	var b bytes.Buffer
	x, err := l.Prove(t.Context(), &b, "abd", nil)
	if err != nil || x.Incident != "abd2" || x.First <= 2 || x.Last != c.ID {
		t.Fatalf("%+v %v", x, err)
	}
	if strings.Contains(b.String(), `"incident":"abc1"`) {
		t.Error("entries before the incident are in the proof")
	}
	if got, err := CheckExport(bytes.NewReader(b.Bytes()), &c); err != nil || got.Incident != "abd2" || got.Entries != x.Entries {
		t.Errorf("%+v %v", got, err)
	}
	// The same against an earlier checkpoint that was kept.
	add(t, l, entriesOf("abf4")...)
	b.Reset()
	if x, err = l.Prove(t.Context(), &b, "abd2", &c); err != nil || x.Last != c.ID {
		t.Errorf("%+v %v", x, err)
	}
	if got, err := CheckExport(bytes.NewReader(b.Bytes()), &c); err != nil || !got.Kept {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := l.Prove(t.Context(), &b, "abf4", &c); err == nil || !strings.Contains(err.Error(), "later checkpoint") {
		t.Errorf("an incident after the checkpoint: %v", err)
	}
	if _, err := l.Prove(t.Context(), &b, "zz", nil); !errors.Is(err, ErrNoIncident) {
		t.Error(err)
	}
}

// Every changed byte in the columns is found, and every line that is removed, doubled or moved.
func TestAChangedExportIsRefused(t *testing.T) {
	_, b, c := exported(t)
	r := rand.New(rand.NewPCG(1, 2))
	lines := bytes.SplitAfter(bytes.TrimRight(b, "\n"), []byte("\n"))
	n := len(lines)
	for i := range 400 {
		list := make([][]byte, n)
		for k := range lines {
			list[k] = bytes.Clone(lines[k])
		}
		at, to := 1+r.IntN(n-1), 1+r.IntN(n-1)
		switch i % 4 {
		case 0:
			p := r.IntN(len(list[at]))
			list[at][p] ^= byte(1 + r.IntN(255))
		case 1:
			list = append(list[:at], list[at+1:]...)
		case 2:
			list = append(list[:at], append([][]byte{list[at]}, list[at:]...)...)
		case 3:
			list[at], list[to] = list[to], list[at]
		}
		changed := bytes.Join(list, nil)
		if bytes.Equal(bytes.TrimSpace(changed), bytes.TrimSpace(b)) {
			continue
		}
		if x, err := CheckExport(bytes.NewReader(changed), &c); err == nil && !sameContent(t, changed, b) {
			t.Fatalf("change %d of line %d was not found: %+v\n%s", i, at, x, list[min(at, len(list)-1)])
		}
	}
}

// sameContent reports whether two exports hold the same values: a byte may be
// written in another way, as a space or an escape.
func sameContent(t *testing.T, a, b []byte) bool {
	t.Helper()
	read := func(b []byte) (out []exportLine) {
		for n, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
			var e exportLine
			if n > 0 && readLine(bufio.NewReader(bytes.NewReader(line)), &e) == nil {
				out = append(out, e)
			}
		}
		return out
	}
	x, y := read(a), read(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

func TestATamperedLedgerIsExportedWithoutACheckpoint(t *testing.T) {
	l, path := open(t)
	add(t, l, entriesOf("abc")...)
	_ = l.Close()
	change(t, path, statements(`UPDATE ledger SET actor = 'x' WHERE id = 3; DELETE FROM ledger WHERE id > 4`))
	l = openAs(t, path, "one")
	var b bytes.Buffer
	if x, err := l.Export(t.Context(), &b); !errors.Is(err, ErrTampered) || x.Entries != 4 {
		t.Errorf("%+v %v", x, err)
	}
	if _, err := CheckExport(bytes.NewReader(b.Bytes()), nil); err == nil || !strings.Contains(err.Error(), "entry 3") {
		t.Error(err)
	}
}
