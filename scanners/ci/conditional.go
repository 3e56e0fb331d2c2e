package ci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxValidated is how many compressed bytes of an answer are kept to be shown again.
	maxValidated = 256 << 10
	// validatedPages is how many pages of a list are asked for conditionally. A new element
	// moves all later ones, so that these change with nearly every scan.
	validatedPages = 3
)

// Answers begins the memory's keys of kept answers. Earlier builds kept those with secrets in
// them too.
const Answers = "ci/answer/"

// cached is an answer with its validator.
type cached struct {
	ETag   string      `json:"etag"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

type conditionalKey struct{}

// Conditional makes requests below ctx conditional: an answer that has not changed since the
// last scan is a 304, which most systems do not count.
func Conditional(ctx context.Context) context.Context {
	return context.WithValue(ctx, conditionalKey{}, true)
}

// Unconditional makes requests below ctx whole: their answers hold secrets, which the memory
// must not keep.
func Unconditional(ctx context.Context) context.Context {
	return context.WithValue(ctx, conditionalKey{}, nil)
}

func cacheKey(req *http.Request) string {
	sum := sha256.Sum256([]byte(req.URL.String()))
	return Answers + hex.EncodeToString(sum[:])
}

// condition adds the validator of the last answer, and reports whether the next one is kept.
func (c *Client) condition(ctx context.Context, req *http.Request) bool {
	if c.Memory == nil || req.Method != http.MethodGet || ctx.Value(conditionalKey{}) == nil {
		return false
	}
	if n, err := strconv.Atoi(req.URL.Query().Get("page")); err == nil && n > validatedPages {
		return false
	}
	if k, ok := c.lookup(ctx, req); ok {
		req.Header.Set("If-None-Match", k.ETag)
	}
	return true
}

func (c *Client) lookup(ctx context.Context, req *http.Request) (k cached, ok bool) {
	b, ok := c.Memory.Get(ctx, cacheKey(req))
	if !ok {
		return k, false
	}
	z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDocument))
	if err != nil {
		return k, false
	}
	defer z.Close()
	return k, json.NewDecoder(io.LimitReader(z, 2*maxDocument)).Decode(&k) == nil && k.ETag != ""
}

// validated shows the kept answer for a 304, and keeps a new one.
func (c *Client) validated(ctx context.Context, req *http.Request, res *http.Response) (*http.Response, error) {
	switch res.StatusCode {
	case http.StatusNotModified:
		k, ok := c.lookup(ctx, req)
		_ = res.Body.Close()
		if !ok {
			return nil, io.ErrUnexpectedEOF // it is sent again without a condition
		}
		res.StatusCode, res.Status = http.StatusOK, "200 OK"
		for name, v := range k.Header {
			if _, has := res.Header[name]; !has {
				res.Header[name] = v
			}
		}
		res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(k.Body)), int64(len(k.Body))
	case http.StatusOK:
		tag := res.Header.Get("ETag")
		if tag == "" {
			return res, nil
		}
		b, err := io.ReadAll(io.LimitReader(res.Body, maxDocument))
		_ = res.Body.Close()
		if err != nil {
			return nil, err
		}
		res.Body = io.NopCloser(bytes.NewReader(b))
		k := cached{ETag: tag, Body: b, Header: http.Header{}}
		for _, name := range []string{"Link", "Content-Type", "X-Next-Page", "X-Total", "X-Total-Count"} {
			if v := res.Header.Values(name); len(v) > 0 {
				k.Header[http.CanonicalHeaderKey(name)] = v
			}
		}
		plain, err := json.Marshal(k)
		if err != nil {
			return res, nil
		}
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return res, nil
		}
		if packed := z.EncodeAll(plain, nil); len(packed) <= maxValidated {
			c.Memory.Put(ctx, cacheKey(req), packed)
		}
	}
	return res, nil
}
