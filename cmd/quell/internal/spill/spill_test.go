package spill

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestBlocksComeBackAsTheyWere(t *testing.T) {
	f := NewFile(t.TempDir())
	defer f.Close()
	var mu sync.Mutex
	want := map[int64]string{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			text := strings.Repeat(fmt.Sprint(i), i*100)
			at, err := f.Append([]byte(text))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			want[at] = text
			mu.Unlock()
		}()
	}
	wg.Wait()
	if len(want) != 50 {
		t.Fatalf("%d places for 50 blocks", len(want))
	}
	for at, text := range want {
		if b, err := f.Read(at); err != nil || string(b) != text {
			t.Errorf("block at %d: %d bytes, want %d: %v", at, len(b), len(text), err)
		}
	}
}

func TestTheFileShowsNothingAndHasNoName(t *testing.T) {
	dir := t.TempDir()
	f := NewFile(dir)
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Error("there is a file before anything was stored")
	}
	text := bytes.Repeat([]byte("a value that nobody may read "), 100)
	if _, err := f.Append(text); err != nil {
		t.Fatal(err)
	}
	list, _ := os.ReadDir(dir)
	if runtime.GOOS != "windows" && len(list) != 0 {
		t.Errorf("the file has a name: %v", list)
	}
	if info, err := f.f.Stat(); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	raw := make([]byte, f.Size())
	if _, err := f.f.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, text[:16]) {
		t.Error("the file shows what was stored")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 0 {
		t.Errorf("left after Close: %v", list)
	}
}

func TestAChangedBlockIsAnError(t *testing.T) {
	f := NewFile(t.TempDir())
	defer f.Close()
	a, _ := f.Append([]byte("first"))
	b, _ := f.Append([]byte("other"))
	one := make([]byte, b-a)
	_, _ = f.f.ReadAt(one, a)
	if _, err := f.f.WriteAt(one, b); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Read(b); err == nil {
		t.Errorf("a block that was moved reads as %q", got)
	}
	one[len(one)-1] ^= 1
	_, _ = f.f.WriteAt(one, a)
	if got, err := f.Read(a); err == nil {
		t.Errorf("a damaged block reads as %q", got)
	}
}

func TestAFolderThatIsNotThereIsAnErrorWithAHint(t *testing.T) {
	f := NewFile(filepath.Join(t.TempDir(), "none"))
	if _, err := f.Append([]byte("x")); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Error(err)
	}
}

// With any memory limit, the order is that of a stable sort.
func TestSortedIsAStableSort(t *testing.T) {
	for _, memory := range []int{1, 300, 5000, 1 << 20} {
		t.Run(fmt.Sprintf("with %d bytes of memory", memory), func(t *testing.T) {
			f := NewFile(t.TempDir())
			defer f.Close()
			s := NewSorter(f, memory)
			var want []Record
			rnd := rand.New(rand.NewPCG(1, uint64(memory)))
			for i := range 3000 {
				key := fmt.Appendf(nil, "%d", rnd.IntN(700))
				value := binary.AppendUvarint(nil, uint64(i))
				want = append(want, Record{key, value})
				if err := s.Add(key, value); err != nil {
					t.Fatal(err)
				}
			}
			slices.SortStableFunc(want, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
			for range 2 {
				i := 0
				for r, err := range s.Sorted() {
					if err != nil {
						t.Fatal(err)
					}
					if i == len(want) || !bytes.Equal(r.Key, want[i].Key) || !bytes.Equal(r.Value, want[i].Value) {
						t.Fatalf("record %d is %q", i, r.Key)
					}
					i++
				}
				if i != len(want) {
					t.Fatalf("%d records, want %d", i, len(want))
				}
			}
			if memory == 1<<20 && f.Size() != 0 {
				t.Error("what fits in memory was written")
			}
			if memory == 1 && len(s.runs) > 3*maxRuns {
				t.Errorf("%d runs are open", len(s.runs))
			}
		})
	}
}
