package web

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/ledger"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
)

// The types of the API; openapi.json describes them, and a test compares both.

type apiIncident struct {
	Fingerprint string     `json:"fingerprint"`
	Status      string     `json:"status"`
	Rule        string     `json:"rule"`
	Provider    string     `json:"provider"`
	Redacted    string     `json:"redacted"`
	Target      string     `json:"target"`
	Public      bool       `json:"public"`
	Exposures   int64      `json:"exposures"`
	FirstAt     time.Time  `json:"first_at"`
	LastAt      time.Time  `json:"last_at"`
	Liveness    string     `json:"liveness"` // live, dead, unknown, not_asked
	Reason      string     `json:"reason,omitempty"`
	Detail      string     `json:"detail,omitempty"`
	Host        string     `json:"host,omitempty"`
	AskedAt     *time.Time `json:"asked_at,omitempty"`
	Outcome     string     `json:"outcome,omitempty"`
	OutcomeAt   *time.Time `json:"outcome_at,omitempty"`
	Sealed      bool       `json:"sealed"` // its value is kept
	// SecondsToDead is the time from the first finding to the proof.
	SecondsToDead float64 `json:"seconds_to_dead,omitempty"`
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func incidentOf(i store.Incident) apiIncident {
	a := apiIncident{
		Fingerprint: i.Fingerprint, Status: i.Status, Rule: i.Rule, Provider: i.Provider, Redacted: i.Redacted, Target: i.Target, Public: i.Public,
		Exposures: i.Exposures, FirstAt: i.First, LastAt: i.Last, Liveness: i.State, Reason: i.Reason, Detail: i.Detail, Host: i.Host,
		AskedAt: optional(i.ProbedAt), Outcome: i.Outcome, OutcomeAt: optional(i.OutcomeAt), Sealed: i.Sealed != "",
	}
	if a.Liveness == "" {
		a.Liveness = "not_asked"
	}
	if i.Status == "dead" && i.Outcome == "Confirmed" {
		a.SecondsToDead = i.OutcomeAt.Sub(i.First).Seconds()
	}
	return a
}

type apiPlan struct {
	Fingerprint string            `json:"fingerprint"`
	Digest      string            `json:"digest"`
	MadeAt      time.Time         `json:"made_at"`
	Action      string            `json:"action"`
	Instance    string            `json:"instance,omitempty"`
	Scope       string            `json:"scope,omitempty"`
	Tier        string            `json:"tier,omitempty"`
	Reversible  bool              `json:"reversible"`
	Collateral  string            `json:"collateral,omitempty"`
	Requests    []string          `json:"requests"`
	Needed      int               `json:"needed"`
	Approvals   []ledger.Approval `json:"approvals"`
	Holds       []ledger.Approval `json:"holds"`
}

func planOf(p *proposal) apiPlan {
	return apiPlan{
		Fingerprint: p.Fingerprint, Digest: p.Digest, MadeAt: p.At, Action: p.Action, Instance: p.Instance, Scope: p.Scope, Tier: p.Tier, Reversible: p.Reversible,
		Collateral: p.Collateral, Requests: list(p.Requests), Needed: p.Needed, Approvals: list(p.By), Holds: list(p.Holds),
	}
}

// list is a slice that JSON writes as [] if it is empty.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

type apiRepo struct {
	Target    string     `json:"target"`
	Repo      string     `json:"repository"`
	Public    bool       `json:"public"`
	ReadAt    *time.Time `json:"read_at,omitempty"`
	Artifacts int64      `json:"artifacts"`
	Gaps      int64      `json:"gaps"`
	Gap       string     `json:"gap,omitempty"`
}

type apiTarget struct {
	Name     string           `json:"name"`
	System   string           `json:"system"`
	SweptAt  *time.Time       `json:"swept_at,omitempty"`
	Late     bool             `json:"late"`
	Errors   []string         `json:"errors"`
	Repos    int64            `json:"repositories"`
	Unread   int64            `json:"unread"`
	Gaps     int64            `json:"gaps"`
	ByStatus map[string]int64 `json:"by_status"`
}

// api adds the paths of the API.
func (c *Console) api(m *http.ServeMux) {
	for path, h := range map[string]func(*http.Request, visitor) (any, error){
		"GET /api/v1/summary": c.apiSummary, "GET /api/v1/incidents": c.apiIncidents, "GET /api/v1/incidents/{fingerprint}": c.apiIncident,
		"GET /api/v1/plans": c.apiPlans, "GET /api/v1/repositories": c.apiRepos, "GET /api/v1/queue": c.apiQueue,
	} {
		m.HandleFunc(path, c.bearer(ScopeRead, h))
	}
	for _, what := range []string{Approve, Hold, Release} {
		m.HandleFunc("POST /api/v1/incidents/{fingerprint}/"+what, c.bearer(ScopeApprove, c.apiDecide(what)))
	}
	m.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		b, _ := files.ReadFile("openapi.json")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(b)
	})
	m.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "there is no such path: /api/openapi.json has all")
	})
}

func writeError(w http.ResponseWriter, code int, message string) {
	writeJSON(w, code, map[string]string{"error": message})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, `{"error":"internal error"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
}

// bearer admits callers that have a token with the scope. It ignores cookies, so that
// no page of another site can use a person's session.
func (c *Console) bearer(scope string, h func(*http.Request, visitor) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		u, known := User{}, false
		if ok {
			u, known = c.byToken(strings.TrimSpace(token))
		}
		if !known {
			if !c.limit.allow(r.RemoteAddr) {
				w.Header().Set("Retry-After", "10")
				writeError(w, http.StatusTooManyRequests, "too many requests without a valid token")
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="quell"`)
			writeError(w, http.StatusUnauthorized, "a bearer token of a [[web.user]] is missing or wrong")
			return
		}
		if scope == ScopeRead && !u.Read || scope == ScopeApprove && !u.Approve {
			w.Header().Set("WWW-Authenticate", `Bearer realm="quell", error="insufficient_scope", scope="`+scope+`"`)
			writeError(w, http.StatusForbidden, "the token may not "+scope)
			return
		}
		v, err := h(r, visitor{Person: u.Name, Method: MethodToken, Approve: u.Approve})
		if err != nil {
			c.failed(w, r, visitor{}, err)
			return
		}
		writeJSON(w, http.StatusOK, v)
	}
}

func targetsOf(rows []targetRow) []apiTarget {
	out := []apiTarget{}
	for _, t := range rows {
		a := apiTarget{Name: t.Target.Name, System: t.System, SweptAt: optional(t.Ended), Late: t.Late, Errors: []string{}, Repos: t.Repos, Unread: t.Unread, Gaps: t.Gaps, ByStatus: t.ByStatus}
		if t.Error != "" {
			a.Errors = strings.Split(t.Error, "\n")
		}
		out = append(out, a)
	}
	return out
}

func (c *Console) apiSummary(r *http.Request, _ visitor) (any, error) {
	d, err := c.summary(r.Context())
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"by_status": d.ByStatus, "oldest_open_at": optional(d.Oldest), "proven_30_days": d.Proven, "median_seconds_to_dead": d.Median.Seconds(), "p90_seconds_to_dead": d.P90.Seconds(),
		"gaps": d.Gaps, "unread": d.Unread, "targets": targetsOf(d.Targets),
	}, nil
}

// limitOf reads the length of a page.
func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 500 {
		return 0, errParameter
	}
	return n, nil
}

func (c *Console) apiIncidents(r *http.Request, _ visitor) (any, error) {
	f, err := c.filterOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	if f.Limit, err = limitOf(r); err != nil {
		return nil, err
	}
	rows, next, err := c.o.Store.Incidents(r.Context(), f)
	if err != nil {
		return nil, err
	}
	out := []apiIncident{}
	for _, i := range rows {
		out = append(out, incidentOf(i))
	}
	return map[string]any{"incidents": out, "next": next}, nil
}

func (c *Console) apiIncident(r *http.Request, v visitor) (any, error) {
	s, err := c.read(r.Context(), r.PathValue("fingerprint"), v)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"incident": incidentOf(s.Incident), "milestones": list(s.Milestones), "entries": list(s.Events), "places": list(s.Places), "holds": list(s.Holds)}
	if s.Proposal != nil {
		out["plan"] = planOf(s.Proposal)
	}
	return out, nil
}

func (c *Console) apiPlans(r *http.Request, v visitor) (any, error) {
	rows, err := c.waiting(r.Context(), v)
	if err != nil {
		return nil, err
	}
	out := []apiPlan{}
	for _, p := range rows {
		out = append(out, planOf(p))
	}
	return map[string]any{"plans": out}, nil
}

func (c *Console) apiRepos(r *http.Request, _ visitor) (any, error) {
	target, show, text, after, err := reposOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	rows, next, err := c.o.Store.Repos(r.Context(), target, show, text, after, limit)
	if err != nil {
		return nil, err
	}
	out := []apiRepo{}
	for _, x := range rows {
		out = append(out, apiRepo{Target: x.Target, Repo: x.Repo, Public: x.Public, ReadAt: optional(x.ReadAt), Artifacts: x.Artifacts, Gaps: x.Gaps, Gap: x.Gap})
	}
	return map[string]any{"repositories": out, "next": next}, nil
}

func (c *Console) apiQueue(r *http.Request, _ visitor) (any, error) {
	d, err := c.queueNow(r.Context())
	if err != nil {
		return nil, err
	}
	jobs := map[string]map[string]int64{}
	for _, k := range d.Kinds {
		jobs[k.Kind] = map[string]int64{}
		for i, n := range k.States {
			jobs[k.Kind][queueStates[i]] = n
		}
	}
	workers := []map[string]any{}
	for _, x := range d.Workers {
		workers = append(workers, map[string]any{"id": x.ID, "host": x.Host, "started_at": x.Started, "seen_at": x.Seen})
	}
	waiting := []map[string]any{}
	for _, j := range d.Waiting {
		waiting = append(waiting, map[string]any{"id": j.ID, "kind": j.Kind, "state": j.State, "args": json.RawMessage(j.Args), "attempt": j.Attempt, "due_at": j.Due, "error": j.Error})
	}
	hosts := []map[string]any{}
	for _, h := range d.Hosts {
		hosts = append(hosts, map[string]any{"kind": h.Kind, "host": h.Host, "target": h.Target, "held_seconds": int64(h.Held.Round(time.Second).Seconds()), "queued_seconds": h.Queued.Seconds()})
	}
	return map[string]any{"hosts": hosts, "jobs": jobs, "workers": workers, "waiting": waiting, "kills_24h": d.Kills, "kill_max": d.Budget.KillMax, "approvals": d.Budget.Approvals, "apply": d.Budget.Apply}, nil
}

// apiDecide takes a decision as JSON.
func (c *Console) apiDecide(what string) func(*http.Request, visitor) (any, error) {
	return func(r *http.Request, v visitor) (any, error) {
		var body struct {
			Digest string `json:"digest"`
			Reason string `json:"reason"`
		}
		if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/json" {
			return nil, errParameter
		}
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&body); err != nil {
			return nil, errParameter
		}
		fp := r.PathValue("fingerprint")
		if err := c.decided(r.Context(), Decision{Fingerprint: fp, What: what, Digest: body.Digest, Person: v.Person, Method: v.Method, Reason: body.Reason}); err != nil {
			return nil, err
		}
		return c.apiIncident(r, v)
	}
}
