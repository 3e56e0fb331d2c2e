package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/quellhq/quell/revokers"
	"github.com/quellhq/quell/revokers/prove"
	"github.com/quellhq/quell/rules"
)

var ocsfFormat = Format{Name: "ocsf", New: func(o Options) Sink { return &ocsf{w: o.W} }}

// ocsf writes events of the Open Cybersecurity Schema Framework, one JSON object per line: a
// Detection Finding (class 2004) is created for each credential, and updated or closed for each
// action; a Scan Activity (class 6007) at the end has what was not read
// (https://github.com/ocsf/ocsf-schema, events/findings/detection_finding.json,
// events/application/scan_activity.json and objects/; also https://schema.ocsf.io/).
// Events about one credential have the same finding_info.uid, its fingerprint.
type ocsf struct {
	w    *bufio.Writer
	now  *ocsfOpen // the last credential, whose verdicts may follow
	at   time.Time
	conf Config
	gaps []string // the first
}

// ocsfOpen is a credential whose verdicts may follow.
type ocsfOpen struct {
	record
	locations []rules.Location
	at        time.Time
	facts     object
}

const (
	// ocsfVersion is the oldest version of the schema that has all of these attributes.
	ocsfVersion = "1.5.0"
	// maxEvidences is how many places of a credential an event lists.
	maxEvidences = 100
)

func (s *ocsf) Emit(e Event) error {
	switch e := e.(type) {
	case Config:
		s.conf, s.at = e, e.At
	case Finding:
		if !e.Partial {
			break
		}
		if err := s.flush(); err != nil {
			return err
		}
		s.now = &ocsfOpen{record: *newRecord(e.Ref), locations: []rules.Location{e.Location}}
		s.now.partial, s.now.doubtful, s.now.counts, s.now.n = true, false, e.Counts, 1
		return s.flush()
	case Credential:
		if err := s.flush(); err != nil {
			return err
		}
		s.now = &ocsfOpen{record: *newRecord(e.Ref), locations: e.Locations}
		s.now.n, s.now.counts, s.now.secret = max(e.Findings, len(e.Locations)), e.Counts, e.Secret
		return nil
	case Verdict:
		if n := s.now; n != nil && n.fingerprint == e.Fingerprint && n.judge(e) {
			n.at, n.facts = e.At, object{"verdict": e.Verdict}
		}
		return nil
	case Action:
		if err := s.flush(); err != nil {
			return err
		}
		return s.action(e)
	case Notice:
		if e.Incomplete && len(s.gaps) < fewSuspect {
			s.gaps = append(s.gaps, e.Message)
		}
	case Summary:
		if err := s.flush(); err != nil {
			return err
		}
		return s.summary(e)
	}
	return nil
}

// when is the time of its verdict, or else that of the run.
func (n *ocsfOpen) when(run time.Time) time.Time {
	if n.at.IsZero() {
		return run
	}
	return n.at
}

// flush writes the last credential.
func (s *ocsf) flush() error {
	n := s.now
	if n == nil {
		return nil
	}
	s.now = nil
	facts := object{"liveness": n.liveness.String(), "findings": n.n}
	for k, v := range n.facts {
		facts[k] = v
	}
	if n.secret != "" {
		facts["secret"] = n.secret
	}
	return s.finding(&n.record, 1, n.when(s.at), n.locations, facts)
}

// action writes what became of a credential.
func (s *ocsf) action(a Action) error {
	r := newRecord(a.Ref)
	r.act(a)
	activity := 2
	if r.outcome == prove.Confirmed || r.outcome == prove.AlreadyDead {
		activity = 3
	}
	at := s.at
	switch {
	case a.Before != nil:
		at = *a.Before
	case a.Receipt != nil && !a.Receipt.At.IsZero():
		at = a.Receipt.At
	}
	return s.finding(r, activity, at, nil, object{"action": a})
}

var (
	ocsfActivity   = map[int]string{1: "Create", 2: "Update", 3: "Close"}
	ocsfSeverity   = map[int]string{1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
	ocsfStatus     = map[int]string{1: "New", 2: "In Progress", 4: "Resolved"}
	ocsfConfidence = map[rules.Confidence]int{rules.Low: 1, rules.Medium: 2, rules.High: 3}
)

// severity of a credential by what its issuer says; without an answer by the confidence.
func (r *record) severity() int {
	switch {
	case r.outcome == prove.Confirmed, r.outcome == prove.AlreadyDead:
		return 1
	case r.live():
		return 5
	case r.suspect():
		return 4
	case r.asked && r.liveness == revokers.Dead:
		return 1
	case r.confidence >= rules.Medium && !r.partial && r.kind != rules.KindPublic:
		return 3
	}
	return 2
}

func (s *ocsf) finding(r *record, activity int, at time.Time, locations []rules.Location, facts object) error {
	severity, status := r.severity(), 1
	switch {
	case activity == 3 || activity == 1 && r.asked && r.liveness == revokers.Dead:
		status = 4
	case r.outcome != "":
		status = 2
	}
	message := Clean(string(r.kind) + " " + r.rule + ": " + r.state())
	event := s.event(2, "Findings", 2004, "Detection Finding", activity, ocsfActivity[activity], severity, at)
	event["message"] = message
	event["status_id"], event["status"] = status, ocsfStatus[status]
	event["is_alert"] = r.counts
	event["confidence_id"], event["confidence"] = ocsfConfidence[r.confidence], strings.ToUpper(r.confidence.String()[:1])+r.confidence.String()[1:]
	event["finding_info"] = object{
		"uid": cmp.Or(r.fingerprint, "unknown"), "title": message, "types": []string{string(r.kind)},
		"analytic": object{"type_id": 1, "type": "Rule", "uid": r.rule, "name": r.rule},
	}
	if why := r.why(); why != "" {
		event["status_detail"] = Clean(why)
	}
	if todo := r.todo(); todo != "" {
		event["remediation"] = object{"desc": Clean(todo)}
	}
	if r.host != "" {
		event["resources"] = []object{{"name": r.host, "type": "issuer"}}
	}
	var evidences []object
	for _, l := range locations[:min(len(locations), maxEvidences)] {
		where := cmp.Or(l.Path, l.Artifact, "-")
		evidences = append(evidences, object{"file": object{"name": path.Base(where), "path": where, "type_id": 1, "type": "Regular File"}, "data": l})
	}
	if evidences != nil {
		event["evidences"] = evidences
	}
	facts["rule"], facts["provider"], facts["kind"], facts["redacted"], facts["partial"] = r.rule, r.provider, r.kind, r.redacted, r.partial
	event["unmapped"] = facts
	return s.write(event)
}

func (s *ocsf) summary(e Summary) error {
	event := s.event(6, "Application Activity", 6007, "Scan Activity", 2, "Completed", 1, s.at)
	event["scan"] = object{"type_id": 1, "type": "Manual", "name": cmp.Or(strings.TrimSpace("quell "+s.conf.Command), "quell")}
	event["total"], event["num_detections"], event["num_skipped_items"] = e.Artifacts, e.Credentials, e.Incomplete
	event["duration"] = int64(e.Seconds * 1000)
	event["status_id"], event["status"] = 1, "Success"
	if e.Incomplete > 0 || e.Unanswered > 0 {
		event["status_id"], event["status"] = 2, "Failure"
		event["status_detail"] = fmt.Sprintf("incomplete: %s not read, %s not answered", Count(int64(e.Incomplete), "thing"), Count(int64(e.Unanswered), "question"))
	}
	event["unmapped"] = object{"summary": e, "not_read": s.gaps, "targets": s.conf.Targets}
	return s.write(event)
}

// event has the attributes that every class requires.
func (s *ocsf) event(category int, categoryName string, class int, className string, activity int, activityName string, severity int, at time.Time) object {
	if at.IsZero() {
		at = time.Now()
	}
	product := object{"name": "quell", "vendor_name": "quell"}
	if s.conf.Version != "" {
		product["version"] = s.conf.Version
	}
	return object{
		"category_uid": category, "category_name": categoryName, "class_uid": class, "class_name": className,
		"activity_id": activity, "activity_name": activityName, "type_uid": class*100 + activity, "type_name": className + ": " + activityName,
		"severity_id": severity, "severity": ocsfSeverity[severity], "time": at.UnixMilli(),
		"metadata": object{"version": ocsfVersion, "product": product, "log_name": "quell"},
	}
}

func (s *ocsf) write(event object) error {
	enc := json.NewEncoder(s.w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return s.w.Flush()
}

func (s *ocsf) Close() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.w.Flush()
}
