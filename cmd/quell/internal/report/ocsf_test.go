package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

// ocsfEvents reads the lines, and checks what the classes require, by the schema at
// https://github.com/ocsf/ocsf-schema: events/base_event.json, events/findings/finding.json,
// events/application/scan_activity.json, objects/{metadata,product,finding_info,analytic,
// evidences,file,scan,_resource}.json.
func ocsfEvents(t *testing.T, text string) (out []map[string]any) {
	t.Helper()
	required := map[float64][]string{
		2004: {"activity_id", "category_uid", "class_uid", "finding_info.uid", "finding_info.analytic.type_id", "metadata.product.name", "metadata.version", "severity_id", "time", "type_uid"},
		6007: {"activity_id", "category_uid", "class_uid", "metadata.product.name", "metadata.version", "scan.type_id", "severity_id", "time", "type_uid"},
	}
	enums := map[float64]map[string][]float64{
		2004: {"activity_id": {1, 2, 3}, "category_uid": {2}, "severity_id": {1, 2, 3, 4, 5}, "status_id": {1, 2, 4}, "confidence_id": {1, 2, 3}},
		6007: {"activity_id": {2}, "category_uid": {6}, "severity_id": {1}, "status_id": {1, 2}},
	}
	for line := range strings.Lines(text) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		class, _ := e["class_uid"].(float64)
		if required[class] == nil {
			t.Fatalf("class %v: %s", class, line)
		}
		for _, path := range required[class] {
			at := any(e)
			for _, key := range strings.Split(path, ".") {
				m, _ := at.(map[string]any)
				at = m[key]
			}
			if at == nil || at == "" {
				t.Errorf("no %s: %s", path, line)
			}
		}
		for key, values := range enums[class] {
			if v, ok := e[key].(float64); !ok || !slices.Contains(values, v) {
				t.Errorf("%s is %v: %s", key, e[key], line)
			}
		}
		if e["type_uid"] != 100*class+e["activity_id"].(float64) {
			t.Errorf("type_uid is %v: %s", e["type_uid"], line)
		}
		evidences, _ := e["evidences"].([]any)
		for _, x := range evidences {
			if file := x.(map[string]any)["file"].(map[string]any); file["name"] == "" || file["type_id"] == nil {
				t.Errorf("%s", line)
			}
		}
		out = append(out, e)
	}
	return out
}

func TestOCSFFollowsACredentialFromTheFindingToItsEnd(t *testing.T) {
	ref := func(f string) rules.Ref {
		return rules.Ref{Rule: "gitlab-pat", Kind: rules.KindAPIKey, Confidence: rules.High, Fingerprint: f, Redacted: "glpa…"}
	}
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	live := revokers.Verdict{Liveness: revokers.Live, Reason: revokers.Authenticated, Host: "gitlab.com", At: at.Add(time.Second)}
	where := []rules.Location{{Path: "a/b.env", Line: 3}, {Artifact: "image config"}, {}}
	var got []string
	for _, e := range ocsfEvents(t, written(t, "ocsf", Config{Command: "contain log", At: at},
		Finding{Ref: ref("p"), Location: where[0], Partial: true}, Finding{Ref: ref("1"), Location: where[0]},
		Credential{Ref: ref("1"), Locations: where, Counts: true}, Verdict{"1", live}, Verdict{"1", revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Revoked, At: at}},
		Credential{Ref: ref("2")}, Verdict{"2", revokers.Verdict{Liveness: revokers.Dead, Reason: revokers.Revoked, At: at}},
		Credential{Ref: ref("3"), Counts: true},
		Action{Ref: ref("1"), Action: "revoke", Outcome: prove.Confirmed, Receipt: &revokers.Acknowledgement{At: at.Add(time.Minute)}},
		Action{Ref: ref("3"), Action: "revoke", Outcome: prove.StillAlive},
		Action{Ref: ref("4"), Action: "held", Outcome: prove.Held, Code: CodeNothing, Held: "not yours", Remedy: "name it"},
		Notice{Message: "x.zip: damaged", Incomplete: true}, Summary{Incomplete: 1, Credentials: 3})) {
		uid := ""
		if info, ok := e["finding_info"].(map[string]any); ok {
			uid = info["uid"].(string)
		}
		got = append(got, fmt.Sprintf("%s %v %v %v %v +%.0f", uid, e["activity_name"], e["severity"], e["status"], e["is_alert"], e["time"].(float64)/1000-float64(at.Unix())))
	}
	want := []string{
		"p Create Low New false +0",
		"1 Create Critical New true +1",
		"2 Create Informational Resolved false +0",
		"3 Create High New true +0",
		"1 Close Informational Resolved false +60",
		"3 Update Critical In Progress true +0",
		"4 Update High In Progress false +0",
		" Completed Informational Failure <nil> +0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// A SIEM reads the lines while a scan of an organisation goes on.
func TestOCSFIsWrittenAsItHappens(t *testing.T) {
	var b bytes.Buffer
	s, err := New("ocsf", &b, &rules.Set{}, Style{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := s.Emit(Credential{Ref: rules.Ref{Rule: "r", Kind: rules.KindAPIKey, Fingerprint: fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(b.String(), "\n"); n != i {
			t.Fatalf("%d lines after %d credentials", n, i+1)
		}
	}
}

func FuzzOCSFIsOneObjectPerLine(f *testing.F) {
	for _, s := range []string{"a", "", "\n", "\u2028", "\xff", `"}`, "/", "a/", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref := rules.Ref{Rule: "r" + s, Kind: rules.KindJWT, Fingerprint: s, Redacted: s}
		text := written(t, "ocsf", Config{Command: s, Version: s}, Credential{Ref: ref, Secret: s, Locations: []rules.Location{{Path: s, Job: s}}}, Verdict{s, revokers.Verdict{Detail: s, Remedy: s, Host: s}}, Action{Ref: ref, Held: s}, Notice{Message: s, Incomplete: true}, Summary{})
		if n := len(ocsfEvents(t, text)); n != 3 {
			t.Errorf("%d events", n)
		}
	})
}
