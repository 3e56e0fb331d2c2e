// Package contracttest holds fakes, and the requests that they get, to what an issuer or a
// forge publishes of its interface.
package contracttest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Document reads testdata/contracts/NAME.
func Document(t testing.TB, name string) *openapi3.T {
	t.Helper()
	// A test runs in its package's folder. The place of this source file is not known to a binary
	// that was built with -trimpath.
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("the test does not run below the module's folder")
		}
		dir = filepath.Dir(dir)
	}
	doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(dir, "testdata", "contracts", name))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// Handler checks each request to h, and each answer of h's below 400, against the
// document testdata/contracts/NAME. A path that the document does not have is an error.
func Handler(t testing.TB, name string, h http.Handler) http.Handler {
	t.Helper()
	doc := Document(t, name)
	doc.Servers = openapi3.Servers{{URL: "/"}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	// An archive is not read as a document's schema would have it.
	openapi3filter.RegisterBodyDecoder("application/x-tar", openapi3filter.FileBodyDecoder)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		find := r.Clone(r.Context())
		find.Body = io.NopCloser(bytes.NewReader(body))
		// A file's path and an image's name may have any number of parts, which the router
		// does not know.
		if before, _, ok := strings.Cut(r.URL.Path, "/contents/"); ok {
			find.URL.Path, find.URL.RawPath = before+"/contents/path", ""
		}
		if strings.HasPrefix(r.URL.Path, "/images/") && strings.HasSuffix(r.URL.Path, "/get") {
			find.URL.Path, find.URL.RawPath = "/images/name/get", ""
		}
		route, params, err := router.FindRoute(find)
		in := &openapi3filter.RequestValidationInput{Request: find, Route: route, PathParams: params, Options: options}
		if err == nil {
			err = openapi3filter.ValidateRequest(r.Context(), in)
		}
		if err != nil {
			t.Errorf("%s %s is not as %s documents it: %v", r.Method, r.URL.Path, name, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		for k, v := range params {
			r.SetPathValue(k, v)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		res, sent := rec.Result(), rec.Body.Bytes()
		if res.StatusCode < 400 {
			out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(sent)), Options: options}
			if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil {
				t.Errorf("the fake's own answer to %s %s is not as %s documents it: %v", r.Method, r.URL.Path, name, err)
			}
		}
		for k, v := range res.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(res.StatusCode)
		_, _ = w.Write(sent)
	})
}
