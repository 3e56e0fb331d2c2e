package serve

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Spans of jobs and requests reach the collector, and have no secret, no scanned text and no
// address in them.
func TestSpansNameWorkAndNothingElse(t *testing.T) {
	var mu sync.Mutex
	spans, all := map[string]int{}, ""
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var q collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &q)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		all += q.String()
		for _, x := range q.ResourceSpans {
			for _, y := range x.ScopeSpans {
				for _, span := range y.Spans {
					spans[span.Name]++
				}
			}
		}
	}))
	t.Cleanup(sink.Close)
	b := newBench(t, 10)
	b.withPeople(1)
	b.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink.URL + "/"
	r, db, fp := oneLive(t, b, true)
	p := signIn(t, r.url, aliceToken)
	p.get("/search?q=a-text-that-alice-searched")
	p.get("/incidents/" + fp)
	p.send("A-METHOD-THAT-IS-A-TEXT", "/", nil)
	b.idle(db)
	r.stop() // sends what is left
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"job enumerate", "job scan", "job probe", "job kill", "POST /login", "GET /search", "GET /incidents/{fingerprint}"} {
		if spans[name] == 0 {
			t.Errorf("no span %q in %v", name, spans)
		}
	}
	for _, bad := range []string{session(10), strings.ReplaceAll(session(10), "%3A", ":"), apiToken, aliceToken, hookSecret, fp, "a-text-that-alice-searched", "A-METHOD-THAT-IS-A-TEXT", b.app.URL, "0_build.txt"} {
		if strings.Contains(all, bad) {
			t.Errorf("a span has %q", bad)
		}
	}
	b.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = "made-up-password@collector:x"
	if err := Run(t.Context(), b.options()); err == nil || strings.Contains(err.Error(), "made-up-password") {
		t.Errorf("an address that is none: %v", err)
	}
}
