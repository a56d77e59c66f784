package client

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"casgate/cas"
	"casgate/gateway/api"
)

// Source is content with a known digest and size. It can be opened several times.
type Source struct {
	Digest cas.Digest
	Size   int64 // bytes
	// Open opens the content at its first byte.
	Open func() (io.ReadCloser, error)
}

// NewSource reads the content once to compute its digest and size.
func NewSource(open func() (io.ReadCloser, error)) (Source, error) {
	content, err := open()
	if err != nil {
		return Source{}, err
	}
	defer content.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, content)
	if err != nil {
		return Source{}, err
	}
	s := Source{Size: size, Open: open}
	sum.Sum(s.Digest[:0])
	return s, nil
}

// PutOptions describe a new blob. If the blob exists, they have no effect, except that
// a blob without a name gets one.
type PutOptions struct {
	// Name is a hint for downloads; the gateway keeps its last path element.
	Name string
	// MediaType of the bytes; empty lets the gateway detect it.
	MediaType string
	// Providers are where the gateway makes copies, in the background. The Blob's Asked
	// has the results.
	Providers []string
}

func (o PutOptions) query() url.Values {
	q := url.Values{}
	setText(q, "name", o.Name)
	setText(q, "providers", strings.Join(o.Providers, ","))
	return q
}

func (o PutOptions) header() http.Header {
	h := http.Header{}
	if o.MediaType != "" {
		h.Set("Content-Type", o.MediaType)
	}
	return h
}

// expectAbove is the size above which Put asks the gateway first whether it needs the
// bytes. Smaller content costs less than that round trip.
const expectAbove = 16 << 10

// Put stores the content. If the gateway already has the blob, Put sends only a few of
// its bytes, and the Blob's Deduplicated is true. Put is retried.
//
// If the content no longer has the digest of the source, it is not stored, and the
// error wraps cas.ErrDigestMismatch.
func (c *Client) Put(ctx context.Context, s Source, o PutOptions) (api.Blob, error) {
	r := &request{
		method:   http.MethodPut,
		path:     blobPath(s.Digest),
		query:    o.query(),
		header:   o.header(),
		length:   s.Size,
		mayRetry: always,
		upload:   true,
		open: func() (io.ReadCloser, error) {
			content, err := s.Open()
			if err != nil {
				return nil, err
			}
			return &sourceBody{ReadCloser: content, left: s.Size}, nil
		},
	}
	if s.Size > expectAbove {
		r.header.Set("Expect", "100-continue")
	}
	blob, err := c.upload(ctx, r)
	switch {
	case errors.Is(err, cas.ErrDigestMismatch):
		return api.Blob{}, fmt.Errorf("the content changed while it was read, and was not stored; try again: %w", err)
	case err != nil:
		return api.Blob{}, err
	case blob.Digest != s.Digest:
		return api.Blob{}, fmt.Errorf("the gateway says that it stored %s, and %s was sent", blob.Digest, s.Digest)
	}
	return blob, nil
}

// PutStream stores all that it reads from r. It is retried only if nothing was read
// from r yet; otherwise the caller must start again with a new reader. After an error,
// a Read of r may still be running.
func (c *Client) PutStream(ctx context.Context, r io.Reader, o PutOptions) (api.Blob, error) {
	stream := &stream{src: r, hash: sha256.New()}
	req := &request{
		method:   http.MethodPost,
		path:     blobsPath,
		query:    o.query(),
		header:   o.header(),
		length:   -1,
		mayRetry: stream.abandon,
		upload:   true,
		open:     stream.open,
	}
	req.header.Set("Expect", "100-continue")
	req.header.Set(headerIdempotencyKey, newIdempotencyKey())
	var blob api.Blob
	if err := c.sendStream(ctx, req, &blob); err != nil {
		return api.Blob{}, err
	}
	return blob, stream.checkSent(blob.Digest)
}

// sendStream is doJSON for a request whose body is a stream. It returns as soon as ctx
// ends. net/http would wait for a running Read of the stream.
func (c *Client) sendStream(ctx context.Context, r *request, answer any) error {
	ended := make(chan error, 1)
	read := json.RawMessage{} // not answer, because the goroutine may still write
	go func() { ended <- c.doJSON(ctx, r, &read) }()
	select {
	case err := <-ended:
		if err != nil {
			return err
		}
		if err := json.Unmarshal(read, answer); err != nil {
			return fmt.Errorf("the answer of %s is not a casgate gateway's: %w", c.base, err)
		}
		return nil
	case <-ctx.Done():
		return c.interrupted(ctx, r)
	}
}

func (c *Client) upload(ctx context.Context, r *request) (api.Blob, error) {
	var blob api.Blob
	err := c.doJSON(ctx, r, &blob)
	return blob, err
}

// sourceError is an error of the content, not of the connection.
type sourceError struct{ error }

// sourceBody reads the content of a source for one request: not more than its size,
// and with an error if it has less.
type sourceBody struct {
	io.ReadCloser
	left int64
}

func (b *sourceBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case err == io.EOF && b.left > 0:
		return n, &sourceError{fmt.Errorf("%w: it ended %d bytes early", cas.ErrDigestMismatch, b.left)}
	case err != nil && err != io.EOF:
		return n, &sourceError{err}
	}
	return n, err
}

// stream is content that can be read once. The next attempt can use it only if nothing
// was read yet.
type stream struct {
	src io.Reader

	mu      sync.Mutex
	current *streamBody // the attempt that may read
	started bool
	hash    hash.Hash
}

func (s *stream) open() (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = &streamBody{s}
	return s.current, nil
}

// abandon takes the stream away from the current attempt, and reports whether nothing
// was read yet.
func (s *stream) abandon(error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = nil
	return !s.started
}

// checkSent returns an error if the gateway stored other bytes than were sent.
func (s *stream) checkSent(stored cas.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sent cas.Digest
	s.hash.Sum(sent[:0])
	if stored != sent {
		return fmt.Errorf("%w: %s was sent, and the gateway stored %s; don't trust the line between", cas.ErrDigestMismatch, sent, stored)
	}
	return nil
}

// streamBody is the body of one attempt. Close leaves the source open, because the
// caller owns it.
type streamBody struct{ *stream }

func (b *streamBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	allowed := b.current == b
	b.started = b.started || allowed
	b.mu.Unlock()
	if !allowed {
		return 0, errors.New("this attempt was given up")
	}
	n, err := b.src.Read(p)
	b.mu.Lock()
	b.hash.Write(p[:n])
	b.mu.Unlock()
	if err != nil && err != io.EOF {
		return n, &sourceError{err}
	}
	return n, err
}

func (b *streamBody) Close() error { return nil }
