package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/quellhq/quell/rules"
)

// Code scanning rejects a run of more than 25,000 results, and a file whose runs have
// one category.
func TestSARIFIsDivided(t *testing.T) {
	for n, want := range map[int][]int{0: {0}, 1: {1}, maxResults + 1: {maxResults, 1}} {
		var b bytes.Buffer
		s, err := New("sarif", &b, &rules.Set{}, Style{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := s.Emit(Finding{Ref: rules.Ref{Rule: "r", Fingerprint: fmt.Sprintf("%032x", i)}, Location: rules.Location{Source: "path", Path: "a", Line: i + 1, Column: 1, EndLine: i + 1, EndColumn: 2, Offset: int64(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Emit(Notice{Message: "one was not read", Incomplete: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Runs []struct {
				Results           []struct{ RuleIndex int }
				AutomationDetails struct{ ID string }
				Invocations       []struct {
					ExecutionSuccessful        bool
					ToolExecutionNotifications []struct{ Level string }
				}
			}
		}
		if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		var got []int
		ids := map[string]bool{}
		for _, r := range doc.Runs {
			got = append(got, len(r.Results))
			ids[r.AutomationDetails.ID] = true
			if !r.Invocations[0].ExecutionSuccessful || r.Invocations[0].ToolExecutionNotifications[0].Level != "error" {
				t.Error("the execution is a failure, or its notification is missing")
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(ids) != len(want) {
			t.Errorf("%d results: runs of %v, categories %v", n, got, ids)
		}
	}
}
