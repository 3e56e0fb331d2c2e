package serve

import (
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
)

// metrics are the counters of this process. Labels are names of the configuration and fixed
// words.
type metrics struct {
	registry  *prometheus.Registry
	jobs      *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	calls     *prometheus.CounterVec
	artifacts *prometheus.CounterVec
	bytes     *prometheus.CounterVec
	gaps      *prometheus.CounterVec
	allowed   *prometheus.CounterVec
	verdicts  *prometheus.CounterVec
	outcomes  *prometheus.CounterVec
	hooks     *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "quell_" + name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	m.jobs = counter("jobs_total", "Jobs that this process worked on, by result.", "kind", "result")
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "quell_job_seconds", Help: "How long jobs took.", Buckets: []float64{.05, .2, 1, 5, 20, 60, 300, 1800}}, []string{"kind"})
	m.registry.MustRegister(m.seconds)
	m.calls = counter("api_requests_total", "Requests to a target's API.", "target")
	m.artifacts = counter("artifacts_total", "Logs, files and other artifacts that were read.", "target")
	m.bytes = counter("bytes_total", "Bytes that were read.", "target")
	m.gaps = counter("gaps_total", "Things that could not be read.", "target")
	m.allowed = counter("allowed_total", "Findings that a marker in a repository's file suppressed.", "target")
	m.verdicts = counter("verdicts_total", "Answers of issuers.", "liveness")
	m.outcomes = counter("outcomes_total", "Outcomes of kills.", "outcome")
	m.hooks = counter("webhooks_total", "Deliveries of webhooks, by what became of them.", "target", "result")
	return m
}

func (m *metrics) job(kind, result string, d time.Duration) {
	m.jobs.WithLabelValues(kind, result).Inc()
	m.seconds.WithLabelValues(kind).Observe(d.Seconds())
}
func (m *metrics) call(target string)       { m.calls.WithLabelValues(target).Inc() }
func (m *metrics) verdict(liveness string)  { m.verdicts.WithLabelValues(liveness).Inc() }
func (m *metrics) outcome(outcome string)   { m.outcomes.WithLabelValues(outcome).Inc() }
func (m *metrics) hook(target, what string) { m.hooks.WithLabelValues(target, what).Inc() }

func (m *metrics) read(target string, sum report.Summary, gaps int64) {
	m.artifacts.WithLabelValues(target).Add(float64(sum.Artifacts))
	m.bytes.WithLabelValues(target).Add(float64(sum.Bytes))
	m.allowed.WithLabelValues(target).Add(float64(sum.Allowed))
	m.gaps.WithLabelValues(target).Add(float64(gaps))
}

// serve writes the counters, and what the database has at this moment.
func (m *metrics) serve(st *store.Store, w http.ResponseWriter, r *http.Request) {
	now := prometheus.NewRegistry()
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "quell_" + name, Help: help}, labels)
		now.MustRegister(g)
		return g
	}
	queue := gauge("queue_jobs", "Jobs in the queue.", "kind", "state")
	credentials := gauge("credentials", "Leaked credentials, by what their issuers answered and how a kill ended.", "liveness", "outcome")
	repos := gauge("repositories", "Repositories of a target.", "target")
	unread := gauge("repositories_unread", "Repositories that were never read to their end.", "target")
	gaps := gauge("blind_spots", "Things in a target's repositories that could not be read.", "target")
	swept := gauge("last_sweep_timestamp_seconds", "When all repositories of a target were last listed; 0: never.", "target")
	unlisted := gauge("unlisted", "Entries of a target's list that could not be listed.", "target")
	ctx := r.Context()
	depths, err := st.Depths(ctx)
	if err == nil {
		for _, d := range depths {
			queue.WithLabelValues(d.Kind, d.State).Set(float64(d.Jobs))
		}
		var states map[[2]string]int64
		if states, err = st.States(ctx); err == nil {
			for k, n := range states {
				liveness := k[0]
				if liveness == "" {
					liveness = "not_asked"
				}
				credentials.WithLabelValues(liveness, k[1]).Set(float64(n))
			}
		}
	}
	var targets []store.TargetState
	if err == nil {
		targets, err = st.Targets(ctx)
	}
	if err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	for _, t := range targets {
		repos.WithLabelValues(t.Name).Set(float64(t.Repos))
		unread.WithLabelValues(t.Name).Set(float64(t.Unread))
		gaps.WithLabelValues(t.Name).Set(float64(t.Gaps))
		failed := 0
		if t.Error != "" {
			failed = strings.Count(t.Error, "\n") + 1
		}
		unlisted.WithLabelValues(t.Name).Set(float64(failed))
		at := 0.0
		if !t.Ended.IsZero() {
			at = float64(t.Ended.UnixMilli()) / 1000
		}
		swept.WithLabelValues(t.Name).Set(at)
	}
	promhttp.HandlerFor(prometheus.Gatherers{m.registry, now}, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}
