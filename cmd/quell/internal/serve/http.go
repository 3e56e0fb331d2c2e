package serve

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/riverqueue/river"

	"github.com/quellhq/quell/cmd/quell/internal/config"
	"github.com/quellhq/quell/cmd/quell/internal/report"
	"github.com/quellhq/quell/cmd/quell/internal/serve/store"
	"github.com/quellhq/quell/cmd/quell/internal/serve/web"
	"github.com/quellhq/quell/cmd/quell/internal/serve/webhook"
	"github.com/quellhq/quell/rules"
)

func (s *Server) readMetricsToken() (err error) {
	if s.metricsToken, err = config.ReadSecret(s.o.Config.MetricsToken, s.o.Getenv); err != nil {
		return fmt.Errorf("metrics_token: %w", err)
	}
	if !s.metricsToken.IsZero() {
		s.knows(s.metricsToken)
	}
	return nil
}

// listen serves HTTP on l. failed gets the error of a server that ends by itself.
func (s *Server) listen(l net.Listener) (*http.Server, <-chan error) {
	failed := make(chan error, 1)
	if l == nil {
		return nil, failed
	}
	web := &http.Server{
		Handler:           s.traced(s.handler()),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(webErrors{s}, "", 0),
	}
	go func() {
		if err := web.Serve(l); err != http.ErrServerClosed {
			failed <- err
		}
	}()
	return web, failed
}

// webErrors logs what net/http reports, which may quote what was sent.
type webErrors struct{ s *Server }

// Write implements io.Writer. Each call is one message.
func (e webErrors) Write(b []byte) (int, error) {
	e.s.log("the HTTP server", "error", e.s.o.Redactor.Quoted(report.Clean(strings.TrimSpace(string(b)))))
	return len(b), nil
}

func (s *Server) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	m.HandleFunc("GET /readyz", s.ready)
	m.HandleFunc("GET /metrics", s.showMetrics)
	m.Handle("POST /hooks/{target}", http.MaxBytesHandler(http.HandlerFunc(s.hook), webhook.MaxBody))
	if s.console != nil {
		m.Handle("/", s.console.Handler())
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		m.ServeHTTP(w, r)
	})
}

// silentFor is how long the database may not have been written until this worker is not ready.
const silentFor = time.Minute

// ready reports whether the database answers and was written a short time ago.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if err := s.store.Ping(ctx); err != nil || time.Since(time.Unix(s.beaten.Load(), 0)) > silentFor {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

// showMetrics serves /metrics to who has the token; without one, to this machine.
func (s *Server) showMetrics(w http.ResponseWriter, r *http.Request) {
	if !s.metricsToken.IsZero() {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !s.metricsToken.Equal(rules.NewSecretString(token)) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the token of metrics_token is missing or wrong", http.StatusUnauthorized)
			return
		}
	} else if host, _, err := net.SplitHostPort(r.RemoteAddr); err != nil || !net.ParseIP(host).IsLoopback() || proxied(r.Header) || !web.OwnHost(r.Host) {
		http.Error(w, "set metrics_token to read metrics from another machine", http.StatusForbidden)
		return
	}
	s.metrics.serve(s.store, w, r)
}

// proxied reports whether a proxy forwarded a request, for whom it comes from another machine.
func proxied(h http.Header) bool {
	return h.Get("X-Forwarded-For") != "" || h.Get("Forwarded") != "" || h.Get("X-Real-Ip") != "" || h.Get("Via") != "" || h.Get("X-Forwarded-Host") != ""
}

// hook takes a webhook's delivery. The delivery and its jobs are recorded in one transaction, so
// that one which is sent again adds nothing.
func (s *Server) hook(w http.ResponseWriter, r *http.Request) {
	x := s.sources[r.PathValue("target")]
	if x == nil || x.webhook.IsZero() {
		http.NotFound(w, r)
		return
	}
	if !webhook.Formed(x.System, x.webhook, r.Header) {
		s.metrics.hook(x.Name, "refused")
		http.Error(w, "the signature is missing or wrong", http.StatusUnauthorized)
		return
	}
	if r.ContentLength > webhook.MaxBody {
		http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
		return
	}
	// A sender without the secret can hold a place until ReadTimeout: those of long bodies are few
	// because of memory, and short ones don't wait for them.
	slots := x.long
	if r.ContentLength >= 0 && r.ContentLength <= shortBody {
		slots = x.short
	}
	full := time.NewTimer(slotTime)
	defer full.Stop()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-full.C:
		http.Error(w, "too many deliveries at one time: send it again", http.StatusServiceUnavailable)
		return
	case <-r.Context().Done():
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "the body can't be read, or is too long", http.StatusRequestEntityTooLarge)
		return
	}
	if !webhook.Verify(x.System, x.webhook, r.Header, body) {
		s.metrics.hook(x.Name, "refused")
		http.Error(w, "the signature is missing or wrong", http.StatusUnauthorized)
		return
	}
	e, err := webhook.Parse(x.System, r.Header, body)
	if err != nil {
		s.metrics.hook(x.Name, "malformed")
		http.Error(w, report.Clean(err.Error()), http.StatusBadRequest)
		return
	}
	a, ok := s.scanOf(x, e)
	if !ok {
		s.metrics.hook(x.Name, "ignored")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "nothing to do\n")
		return
	}
	fresh := false
	err = s.store.Update(r.Context(), func(tx *store.Tx) error {
		var err error
		if fresh, err = tx.Delivered(x.Name+" "+e.ID, time.Now()); err != nil || !fresh {
			return err
		}
		// The header with the id is not signed; the body is.
		if fresh, err = tx.Delivered(x.Name+" body "+webhook.Digest(x.webhook, body), time.Now()); err != nil || !fresh {
			return err
		}
		return s.insert(r.Context(), tx, []river.InsertManyParams{job(a, queueScan, urgent)}...)
	})
	switch {
	case err != nil:
		s.metrics.hook(x.Name, "failed")
		http.Error(w, "the delivery could not be recorded: send it again", http.StatusServiceUnavailable)
		return
	case !fresh:
		s.metrics.hook(x.Name, "repeated")
	default:
		s.metrics.hook(x.Name, "taken")
	}
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, "accepted\n")
}

// scanOf is the job of an event; false if the target does not read what it is about.
func (s *Server) scanOf(x *source, e webhook.Event) (ScanArgs, bool) {
	a := ScanArgs{Target: x.Name, Repo: e.Repo, Ref: e.Ref}
	if !x.Covers(e.Repo) {
		return a, false
	}
	switch e.Kind {
	case webhook.Run:
		a.What, a.Run, a.Attempt = whatRuns, e.Run, e.Attempt
		return a, x.Reads(readLogs) || x.Reads(readArtifacts)
	case webhook.Push:
		a.What = whatGit
		return a, x.Reads(readGit)
	case webhook.Alert:
		a.What = whatAlerts
		return a, x.Reads(readAlerts)
	case webhook.Package:
		a.What = whatImage
		if x.registry() == "" {
			return a, false
		}
		i := strings.IndexAny(e.Ref, ":@")
		if i < 0 || !x.Covers(e.Ref[:i]) && !strings.EqualFold(owner(e.Ref), owner(e.Repo)) {
			return a, false // this machine's login at the registry is for the target's images
		}
		a.Ref, a.Event = x.registry()+"/"+strings.ToLower(e.Ref[:i])+e.Ref[i:], e.ID
		return a, true
	}
	return a, false
}
