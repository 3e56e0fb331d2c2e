package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/quellhq/quell/rules"
	"github.com/quellhq/quell/scanners"
	"github.com/quellhq/quell/scanners/archive"
)

// daemonPrefix marks an image of the Docker daemon on this machine.
const daemonPrefix = "docker-daemon:"

// stream reads an archive of images sequentially, in either format: from standard input or from
// a daemon. It keeps only the documents, and assigns layers to images after the end.
func (v *visit) stream(open func(context.Context) (io.ReadCloser, error)) {
	s := v.s
	loc := rules.Location{Source: "image", Artifact: "archive " + v.target}
	v.emit(scanners.Artifact{Location: loc, Parts: func(ctx context.Context, part func(scanners.Artifact, io.Reader) error, gap func(scanners.Gap)) error {
		r, err := open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		in, err := s.inflated(ctx, &verified{r: r, own: scanners.BoundsOf(ctx)})
		if err != nil {
			return fmt.Errorf("archive of images: %w", err)
		}
		defer in.Close()
		part = expanded(part)
		docs := map[string][]byte{}
		kept := int64(0) // total size of docs
		layers := map[string]bool{}
		for t := tar.NewReader(in); ; {
			h, err := t.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return errors.Join(fmt.Errorf("archive of images: %w", err), s.arrange(docs))
			}
			if !archive.HasContent(h) {
				continue
			}
			name := path.Clean(strings.TrimPrefix(h.Name, "/"))
			begin := make([]byte, 1)
			n, _ := io.ReadFull(t, begin)
			whole := io.MultiReader(bytes.NewReader(begin[:n]), t)
			if n == 1 && (begin[0] == '{' || begin[0] == '[') {
				if kept += h.Size; kept > maxDocument {
					l := rules.Location{Source: "image", Artifact: "image document " + name}
					gap(scanners.Gap{Location: l, Kind: scanners.GapLimitMemory, Reason: fmt.Sprintf("documents of over %d MiB: it was scanned, and no image was looked for in it", maxDocument>>20)})
					if err := part(scanners.Artifact{Location: l}, whole); err != nil {
						return err
					}
					continue
				}
				b, err := io.ReadAll(whole)
				if err != nil {
					gap(scanners.Gap{Location: loc, Reason: name, Err: err})
				}
				docs[name] = b
				a := s.identify(name, b)
				r, err := a.Open(ctx)
				if err != nil {
					return err
				}
				err = part(a, r)
				if r.Close(); err != nil {
					return err
				}
				continue
			}
			id := savedDigest(name, 0, nil)
			s.mu.Lock()
			have := s.layers[id]
			if have == nil {
				have = &layer{whiteout: map[string]bool{}}
				s.layers[id] = have
			}
			s.mu.Unlock()
			layers[name] = true
			l := rules.Location{Source: "image", Artifact: "layer " + id.String(), Layer: id.String()}
			if err := s.content(ctx, &verified{r: whole}, l, have, part, gap); err != nil {
				if ctx.Err() != nil {
					return err
				}
				gap(scanners.Gap{Location: l, Reason: l.Artifact, Err: err})
			}
		}
		if len(docs) == 0 && len(layers) == 0 {
			return errors.New("no archive of images: it is empty")
		}
		trailing := bufio.NewReader(in)
		more, err := archive.Padding(trailing)
		if more {
			l := loc
			l.Path = archive.TrailingMember
			err = part(scanners.Artifact{Location: l}, trailing)
		}
		if err != nil {
			gap(scanners.Gap{Location: loc, Reason: archive.TrailingMember, Err: err})
		}
		return s.arrange(docs)
	}}, nil)
}

// identify returns the artifact of a JSON document in an image archive, and identifies by its
// content whether it is a config, a manifest or an index.
func (s *session) identify(name string, b []byte) scanners.Artifact {
	var d struct {
		RootFS            *json.RawMessage
		Layers, Manifests []json.RawMessage
	}
	switch err := json.Unmarshal(b, &d); {
	case err != nil:
	case d.RootFS != nil:
		return s.configOf(name, "", "", b)
	case len(d.Layers) > 0:
		return s.document("image manifest", name, b)
	case len(d.Manifests) > 0:
		return s.document("image index", name, b)
	}
	return s.document("image document", name, b)
}

// arrange determines from the archive's documents which image each layer belongs to.
func (s *session) arrange(docs map[string][]byte) error {
	place := func(label, platform string, config []byte, ids []v1.Hash) {
		by := history(config, len(ids))
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, id := range ids {
			if have := s.layers[id]; have != nil {
				have.uses = append(have.uses, use{name: label, index: i, platform: platform, createdBy: by[i], above: ids[i+1:]})
			}
		}
	}
	var images []saved
	if b, ok := docs["manifest.json"]; ok {
		if json.Unmarshal(b, &images) != nil {
			return errors.New("no archive of images: its manifest.json is damaged")
		}
	}
	for _, m := range images {
		var ids []v1.Hash
		for _, l := range m.Layers {
			ids = append(ids, savedDigest(path.Clean(l), 0, nil))
		}
		place(strings.Join(m.RepoTags, ", "), "", docs[path.Clean(m.Config)], ids)
	}
	if len(images) > 0 {
		return nil
	}
	if _, ok := docs["index.json"]; !ok {
		return errors.New("no archive of images: it has neither an index.json nor a manifest.json")
	}
	for _, b := range docs {
		var m manifest
		if json.Unmarshal(b, &m) != nil || len(m.Layers) == 0 {
			continue
		}
		var ids []v1.Hash
		for _, d := range m.Layers {
			ids = append(ids, d.Digest)
		}
		var config []byte
		if m.Config != nil {
			config = docs[path.Join("blobs", m.Config.Digest.Algorithm, m.Config.Digest.Hex)]
		}
		sum := sha256.Sum256(b)
		place("", platformOf(docs, hex.EncodeToString(sum[:])), config, ids)
	}
	return nil
}

// platformOf returns the platform that an index states for the manifest with the digest.
func platformOf(docs map[string][]byte, digest string) string {
	for _, b := range docs {
		var m manifest
		if json.Unmarshal(b, &m) != nil {
			continue
		}
		for _, d := range m.Manifests {
			if d.Digest.Hex == digest && d.Platform != nil {
				return d.Platform.String()
			}
		}
	}
	return ""
}

// daemon fetches an image from the Docker daemon on this machine, as docker save does (Docker
// Engine API, ImageGet). It connects to a Unix socket only.
func (s *session) daemon(image string) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		socket := cmp.Or(s.Socket, "/var/run/docker.sock")
		c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/images/"+url.PathEscape(image)+"/get", nil)
		if err != nil {
			return nil, err
		}
		resp, err := c.Do(req)
		if err != nil {
			return nil, fmt.Errorf("no daemon answers at %s", socket)
		}
		if resp.StatusCode != http.StatusOK {
			defer resp.Body.Close()
			var m struct{ Message string }
			_ = json.NewDecoder(io.LimitReader(resp.Body, 4<<10)).Decode(&m)
			return nil, clean(fmt.Errorf("the daemon answers %d %s", resp.StatusCode, m.Message))
		}
		return resp.Body, nil
	}
}
