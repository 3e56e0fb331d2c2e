package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
)

// targetRow is a target of the overview.
type targetRow struct {
	Target
	store.TargetState
	ByStatus map[string]int64
	Late     bool // the last sweep is older than two periods
}

type overviewData struct {
	ByStatus map[string]int64
	Oldest   time.Time // first finding of the oldest incident that is open
	Median   time.Duration
	P90      time.Duration
	Proven   int // kills of 30 days
	Targets  []targetRow
	Urgent   []store.Incident
	Gaps     int64
	Unread   int64
}

// Blind reports whether anything was not read.
func (d overviewData) Blind() bool { return d.Gaps+d.Unread > 0 }

// Proven64 is Proven for a template.
func (d overviewData) Proven64() int64 { return int64(d.Proven) }

// summary gathers what the overview shows.
func (c *Console) summary(ctx context.Context) (d overviewData, err error) {
	counts, err := c.o.Store.StatusCounts(ctx)
	if err != nil {
		return d, err
	}
	targets, err := c.o.Store.Targets(ctx)
	if err != nil {
		return d, err
	}
	times, err := c.o.Store.TimesToDead(ctx, time.Now().Add(-30*24*time.Hour))
	if err != nil {
		return d, err
	}
	d.ByStatus = map[string]int64{}
	rows := map[string]*targetRow{}
	for _, t := range c.o.Targets {
		rows[t.Name] = &targetRow{Target: t, ByStatus: map[string]int64{}, Late: true}
	}
	for _, n := range counts {
		d.ByStatus[n.Status] += n.N
		if x := rows[n.Target]; x != nil {
			x.ByStatus[n.Status] += n.N
		}
		if open(n.Status) && (d.Oldest.IsZero() || n.Oldest.Before(d.Oldest)) {
			d.Oldest = n.Oldest
		}
	}
	for _, t := range targets {
		if x := rows[t.Name]; x != nil {
			x.TargetState, x.Late = t, t.Ended.IsZero() || time.Since(t.Ended) > 2*x.Every
			d.Gaps, d.Unread = d.Gaps+t.Gaps, d.Unread+t.Unread
		}
	}
	for _, t := range c.o.Targets {
		d.Targets = append(d.Targets, *rows[t.Name])
	}
	if d.Proven = len(times); d.Proven > 0 {
		slices.Sort(times)
		d.Median, d.P90 = times[len(times)/2], times[len(times)*9/10]
	}
	return d, nil
}

// open reports whether an incident of a status needs people or time.
func open(status string) bool { return status == "live" || status == "failed" || status == "held" }

func (c *Console) overview(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.summary(r.Context())
	if err != nil {
		return err
	}
	for _, status := range []string{"live", "failed", "held"} {
		list, _, err := c.o.Store.Incidents(r.Context(), store.Filter{Status: status, Limit: 8})
		if err != nil {
			return err
		}
		d.Urgent = append(d.Urgent, list...)
	}
	d.Urgent = d.Urgent[:min(len(d.Urgent), 12)]
	return c.render(w, r, http.StatusOK, "overview", v, page{Title: "Overview", Nav: "overview", Data: d})
}

type choice struct {
	Name, Label, URL string
	N                int64
	Current          bool
}

type incidentsData struct {
	Filter  store.Filter
	Choices []choice
	List    []store.Incident
	Next    string // address of the next page
	Targets []Target
}

// filterOf reads the parameters of a list.
func (c *Console) filterOf(q url.Values) (f store.Filter, err error) {
	f = store.Filter{Status: q.Get("status"), Target: q.Get("target"), Text: strings.TrimSpace(q.Get("q")), After: q.Get("after")}
	if f.Status != "" && !slices.Contains(store.Statuses(), f.Status) {
		return f, fmt.Errorf("%w: status", errParameter)
	}
	if len(f.Text) > 200 || len(f.Target) > 100 || len(f.After) > 200 {
		return f, fmt.Errorf("%w: one is too long", errParameter)
	}
	return f, nil
}

func address(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

func (c *Console) incidents(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := c.filterOf(r.URL.Query())
	if err != nil {
		return err
	}
	d := incidentsData{Filter: f, Targets: c.o.Targets}
	var next string
	if d.List, next, err = c.o.Store.Incidents(r.Context(), f); err != nil {
		return err
	}
	if next != "" {
		d.Next = address("/incidents", "status", f.Status, "target", f.Target, "q", f.Text, "after", next)
	}
	counts, err := c.o.Store.StatusCounts(r.Context())
	if err != nil {
		return err
	}
	by, all := map[string]int64{}, int64(0)
	for _, n := range counts {
		if f.Target == "" || n.Target == f.Target {
			by[n.Status] += n.N
			all += n.N
		}
	}
	d.Choices = append(d.Choices, choice{Label: "All", URL: address("/incidents", "target", f.Target, "q", f.Text), N: all, Current: f.Status == ""})
	for _, s := range store.Statuses() {
		d.Choices = append(d.Choices, choice{Name: s, Label: statusLabel(s), URL: address("/incidents", "status", s, "target", f.Target, "q", f.Text), N: by[s], Current: f.Status == s})
	}
	return c.render(w, r, http.StatusOK, "incidents", v, page{Title: "Incidents", Nav: "incidents", Query: f.Text, Data: d})
}

type coverageData struct {
	Targets      []targetRow
	Show, Target string
	Choices      []choice
	List         []store.Repo
	Next         string
}

// reposOf reads the parameters of the list of repositories.
func reposOf(q url.Values) (target, show, text, after string, err error) {
	target, show, text, after = q.Get("target"), q.Get("show"), strings.TrimSpace(q.Get("q")), q.Get("after")
	if !slices.Contains([]string{"", "gaps", "unread"}, show) {
		return "", "", "", "", fmt.Errorf("%w: show", errParameter)
	}
	if len(text) > 200 || len(target) > 100 || len(after) > 2000 {
		return "", "", "", "", fmt.Errorf("%w: one is too long", errParameter)
	}
	return target, show, text, after, nil
}

func (c *Console) coverage(w http.ResponseWriter, r *http.Request, v visitor) error {
	target, show, text, after, err := reposOf(r.URL.Query())
	if err != nil {
		return err
	}
	sum, err := c.summary(r.Context())
	if err != nil {
		return err
	}
	d := coverageData{Targets: sum.Targets, Show: show, Target: target}
	var next string
	if d.List, next, err = c.o.Store.Repos(r.Context(), target, show, text, after, 100); err != nil {
		return err
	}
	if next != "" {
		d.Next = address("/coverage", "target", target, "show", show, "q", text, "after", next)
	}
	for _, x := range [][2]string{{"", "All repositories"}, {"gaps", "With blind spots"}, {"unread", "Never read to the end"}} {
		d.Choices = append(d.Choices, choice{Label: x[1], URL: address("/coverage", "target", target, "show", x[0], "q", text), Current: x[0] == show, N: -1})
	}
	return c.render(w, r, http.StatusOK, "coverage", v, page{Title: "Coverage", Nav: "coverage", Data: d})
}

// queueStates are the states of jobs, in the order of the table.
var queueStates = []string{"available", "running", "scheduled", "retryable", "discarded", "completed"}

type kindRow struct {
	Kind   string
	States []int64 // as queueStates
}

type queueData struct {
	States  []string
	Kinds   []kindRow
	Workers []store.Worker
	Waiting []store.Job
	Kills   int64
	Budget  Budget
	Targets []targetRow
	Hosts   []store.Limit
}

// Max64 is kill.max for a template.
func (d queueData) Max64() int64 { return int64(d.Budget.KillMax) }

// Scans64 is how many scans run at one time, for a template.
func (d queueData) Scans64() int64 { return int64(d.Budget.Scans) }

func (c *Console) queueNow(ctx context.Context) (d queueData, err error) {
	depths, err := c.o.Store.Depths(ctx)
	if err != nil {
		return d, err
	}
	d.States, d.Budget = queueStates, c.o.Budget
	rows := map[string]*kindRow{}
	for _, kind := range []string{"enumerate", "scan", "probe", "kill", "recheck", "notify", "retention"} {
		rows[kind] = &kindRow{Kind: kind, States: make([]int64, len(queueStates))}
	}
	for _, x := range depths {
		if i := slices.Index(queueStates, x.State); i >= 0 && rows[x.Kind] != nil {
			rows[x.Kind].States[i] = x.Jobs
		}
	}
	for _, kind := range []string{"enumerate", "scan", "probe", "kill", "recheck", "notify", "retention"} {
		d.Kinds = append(d.Kinds, *rows[kind])
	}
	if d.Workers, err = c.o.Store.Workers(ctx); err != nil {
		return d, err
	}
	if d.Waiting, err = c.o.Store.Waiting(ctx, 50); err != nil {
		return d, err
	}
	if d.Hosts, err = c.o.Store.Limits(ctx); err != nil {
		return d, err
	}
	d.Kills, err = c.o.Store.KillsSince(ctx, time.Now().Add(-24*time.Hour))
	return d, err
}

func (c *Console) queue(w http.ResponseWriter, r *http.Request, v visitor) error {
	d, err := c.queueNow(r.Context())
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "queue", v, page{Title: "Queue and budgets", Nav: "queue", Data: d})
}

type searchData struct {
	Incidents []store.Incident
	More      string
	Repos     []store.Repo
}

func (c *Console) search(w http.ResponseWriter, r *http.Request, v visitor) error {
	f, err := c.filterOf(url.Values{"q": {r.URL.Query().Get("q")}})
	if err != nil {
		return err
	}
	var d searchData
	if f.Text != "" {
		f.Limit = 20
		var next string
		if d.Incidents, next, err = c.o.Store.Incidents(r.Context(), f); err != nil {
			return err
		}
		if next != "" {
			d.More = address("/incidents", "q", f.Text)
		}
		if d.Repos, _, err = c.o.Store.Repos(r.Context(), "", "", f.Text, "", 20); err != nil {
			return err
		}
	}
	return c.render(w, r, http.StatusOK, "search", v, page{Title: cmp.Or(f.Text, "Search"), Query: f.Text, Data: d})
}
