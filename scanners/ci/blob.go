package ci

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"

	"github.com/quellhq/quell/scanners"
)

// MaxDownload is the maximum size of one log or artifact, in bytes.
const MaxDownload = 32 << 30

// Blob is a downloaded file. It has no name where the operating system allows that, so that a
// killed process leaves nothing.
type Blob struct {
	*os.File
	Size int64
	// Sum is the SHA-256 of the bytes.
	Sum [sha256.Size]byte
	// Header is the header of the response.
	Header http.Header

	named bool
}

// Close removes the file.
func (b *Blob) Close() error {
	err := b.File.Close()
	if b.named {
		err = errors.Join(err, os.Remove(b.Name()))
	}
	return err
}

// newBlob writes r to a file.
func (c *Client) newBlob(r io.Reader) (*Blob, error) {
	f, err := os.CreateTemp(c.Temp, "quell-*")
	if err != nil {
		return nil, err
	}
	b := &Blob{File: f, named: true}
	if runtime.GOOS != "windows" && os.Remove(f.Name()) == nil {
		b.named = false
	}
	h := sha256.New()
	b.Size, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(r, MaxDownload+1))
	switch {
	case err == nil && b.Size > MaxDownload:
		err = scanners.OfKind(scanners.GapLimitBytes, fmt.Errorf("larger than %d GiB", MaxDownload>>30))
	case err == nil:
		h.Sum(b.Sum[:0])
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

// NewBlob makes a blob of bytes that a client has.
func (c *Client) NewBlob(r io.Reader) (*Blob, error) { return c.newBlob(r) }

// Download fetches an address of the named host, and follows its redirects. It sends no credential
// to another host that a redirect names. accept is the Accept header; empty: anything.
func (c *Client) Download(ctx context.Context, u *url.URL, accept string) (*Blob, error) {
	return c.DownloadIf(ctx, u, accept, nil)
}

// DownloadIf downloads again, a few times, while ok reports that the blob is not whole. The
// last one is returned as it is.
func (c *Client) DownloadIf(ctx context.Context, u *url.URL, accept string, ok func(*Blob) bool) (*Blob, error) {
	const looks = 3
	for n := 1; ; n++ {
		b, err := c.download(ctx, u, accept, true)
		if err != nil || ok == nil || n == looks || ok(b) {
			return b, err
		}
		_ = b.Close()
	}
}

// Storage fetches an address that a response of the server contains, on any host, without the
// credential.
func (c *Client) Storage(ctx context.Context, u *url.URL) (*Blob, error) {
	return c.download(ctx, u, "", false)
}

func (c *Client) download(ctx context.Context, from *url.URL, accept string, credential bool) (*Blob, error) {
	var b *Blob
	err := c.attempts(ctx, true, func() (*http.Response, error) {
		res, err := c.follow(ctx, from, accept, credential)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return res, nil
		}
		b, err = c.newBlob(res.Body)
		if err == nil && res.ContentLength >= 0 && b.Size != res.ContentLength {
			_ = b.Close()
			b, err = nil, io.ErrUnexpectedEOF
		}
		if b != nil {
			b.Header = res.Header
		}
		return res, err
	})
	switch {
	case err != nil:
		if b != nil {
			_ = b.Close()
		}
		return nil, clean(err)
	case b == nil:
		return nil, errors.New("the server gave nothing")
	}
	return b, nil
}

// follow sends a request and follows its redirects. Each redirect counts against the limit of its
// host. A response that may be different at the next attempt is returned as it is.
func (c *Client) follow(ctx context.Context, from *url.URL, accept string, credential bool) (*http.Response, error) {
	u := from
	credential = credential && c.named(u)
	spare := false // the redirect stayed at the named host: the credential may be sent if it is missed
	for hop := 0; ; hop++ {
		if !Private(u) {
			return nil, final{errors.New("it is kept at a plain http address, which is not read")}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, final{errors.New("it is kept at an address that can't be read")}
		}
		if accept != "" && (credential || hop == 0) {
			req.Header.Set("Accept", accept)
		}
		res, err := c.send(req, credential)
		if err != nil {
			return nil, err
		}
		code := res.StatusCode
		if code == http.StatusOK || code >= 500 || throttled(res) || code == http.StatusUnauthorized && credential {
			return res, nil
		}
		_ = res.Body.Close()
		if code < 300 || code > 399 {
			switch {
			case spare && (code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusNotFound):
				spare, credential = false, true
				continue
			case c.named(u) || code == http.StatusNotFound || code == http.StatusGone:
				return nil, &StatusError{code, from.Path}
			}
			return nil, fmt.Errorf("the storage answers %d", code)
		}
		to, err := u.Parse(res.Header.Get("Location"))
		if err != nil || hop == maxRedirects {
			return nil, final{errors.New("the server redirects to an address that can't be read")}
		}
		// 302 and 303 name a storage by a signed address. 301, 307 and 308 within the named
		// host are about the API itself, as after a repository was renamed.
		moved := code != http.StatusFound && code != http.StatusSeeOther
		spare = credential && c.named(to) && !moved
		credential = credential && c.named(to) && moved
		u = to
	}
}
