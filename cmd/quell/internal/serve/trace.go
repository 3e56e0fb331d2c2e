package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// The variables of the OpenTelemetry specification that name the collector. Traces are off without
// them: https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
const (
	otlpEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otlpTraces   = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// startTracing makes the tracer. Attributes of spans are names of the configuration, fixed words,
// numbers and the beginning of fingerprints: never a text that was scanned, an address or an error.
func (s *Server) startTracing(ctx context.Context) (stop func(context.Context), err error) {
	s.tracer = noop.NewTracerProvider().Tracer("")
	address := s.o.Getenv(otlpTraces)
	if base := s.o.Getenv(otlpEndpoint); address == "" && base != "" {
		address = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if address == "" {
		return func(context.Context) {}, nil
	}
	// The library's own handler would write to standard error, not redacted: also addresses that it
	// can't parse, which may have a password.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { s.log("spans could not be sent to the collector") }))
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s: it is no http or https address", otlpEndpoint)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(address), otlptracehttp.WithTimeout(10*time.Second),
		// As everywhere in quell, proxies of the environment are ignored.
		otlptracehttp.WithProxy(func(*http.Request) (*url.URL, error) { return nil, nil }))
	if err != nil {
		return nil, fmt.Errorf("%s: it names no collector that takes OTLP by HTTP", otlpEndpoint)
	}
	name := s.o.Getenv("OTEL_SERVICE_NAME")
	if name == "" {
		name = "quell"
	}
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", name), attribute.String("service.version", s.o.Version), attribute.String("service.instance.id", s.worker),
	)))
	s.tracer = p.Tracer("github.com/quellhq/quell/serve")
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, webTime)
		defer cancel()
		_ = p.Shutdown(ctx) // a collector that is away loses spans, and nothing else
	}, nil
}

// targeted are arguments of jobs that belong to a target, and about those of an incident.
type (
	targeted interface{ target() string }
	about    interface{ incident() string }
)

func (a EnumerateArgs) target() string { return a.Target }
func (a ScanArgs) target() string      { return a.Target }
func (a ProbeArgs) incident() string   { return a.Fingerprint }
func (a KillArgs) incident() string    { return a.Fingerprint }
func (a NotifyArgs) incident() string  { return a.Fingerprint }

// jobSpan begins the span of a job.
func (s *Server) jobSpan(ctx context.Context, kind string, id int64, attempt int, args any) (context.Context, trace.Span) {
	list := []attribute.KeyValue{attribute.String("quell.job.kind", kind), attribute.Int64("quell.job.id", id), attribute.Int("quell.job.attempt", attempt)}
	if a, ok := args.(targeted); ok {
		list = append(list, attribute.String("quell.target", a.target()))
	}
	if a, ok := args.(about); ok {
		list = append(list, attribute.String("quell.incident", short(a.incident())))
	}
	return s.tracer.Start(ctx, "job "+kind, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(list...))
}

// endSpan ends a span with the result of its job.
func endSpan(span trace.Span, result string) {
	span.SetAttributes(attribute.String("quell.result", result))
	if result == "failed" {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// traced gives each request a span, with its route and never its address, which may have a code or
// a text that a person searched; nor its method, which may be any word.
func (s *Server) traced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, span := s.tracer.Start(r.Context(), "HTTP", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		answer := &status{ResponseWriter: w, code: http.StatusOK}
		r = r.WithContext(ctx)
		next.ServeHTTP(answer, r)
		if r.Pattern != "" {
			span.SetName(r.Pattern)
			span.SetAttributes(attribute.String("http.route", r.Pattern))
		}
		span.SetAttributes(attribute.Int("http.response.status_code", answer.code))
		if answer.code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// status keeps the status of an answer.
type status struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
