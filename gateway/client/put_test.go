package client_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

func sourceOf(text string) client.Source {
	s, err := client.NewSource(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil })
	if err != nil {
		panic(err) // a string can be read
	}
	return s
}

// store answers an upload as a gateway that took it.
func store(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	d := cas.DigestOf(body)
	if r.Method == http.MethodPut && r.URL.Path != "/v1/blobs/"+d.String() {
		answerProblem(w, 422, problem.DigestMismatch)
		return
	}
	answerJSON(w, 201, api.Blob{Digest: d, Size: int64(len(body)), Name: r.URL.Query().Get("name"), MediaType: r.Header.Get("Content-Type"), Deduplicated: new(false)})
}

func TestPut(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 {
			t.Error("the length was not declared")
		}
		store(w, r)
	})
	for _, text := range []string{"", "hello", strings.Repeat("a large one ", 1<<16)} {
		s := sourceOf(text)
		if s.Size != int64(len(text)) || s.Digest != cas.DigestOf([]byte(text)) {
			t.Fatalf("source %v", s)
		}
		blob, err := c.Put(t.Context(), s, client.PutOptions{Name: "a & b", MediaType: "text/x-test"})
		if err != nil || blob.Digest != s.Digest || blob.Name != "a & b" || blob.MediaType != "text/x-test" {
			t.Errorf("%d bytes: got %v, %v", len(text), blob, err)
		}
	}
}

// countingSource counts the bytes read of it.
func countingSource(text string, read *atomic.Int64) client.Source {
	s := sourceOf(text)
	open := s.Open
	s.Open = func() (io.ReadCloser, error) {
		content, err := open()
		return struct {
			io.Reader
			io.Closer
		}{io.TeeReader(content, countWriter{read}), content}, err
	}
	return s
}

type countWriter struct{ n *atomic.Int64 }

func (w countWriter) Write(p []byte) (int, error) { w.n.Add(int64(len(p))); return len(p), nil }

func TestPutSendsNothingThatIsThere(t *testing.T) {
	var read atomic.Int64
	s := countingSource(strings.Repeat("x", 1<<20), &read)
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "100-continue" {
			t.Error("the gateway was not asked")
		}
		answerJSON(w, 200, api.Blob{Digest: s.Digest, Deduplicated: new(true)})
	})
	for range 2 { // the second time on a connection that has been closed
		blob, err := c.Put(t.Context(), s, client.PutOptions{})
		if err != nil || !*blob.Deduplicated {
			t.Errorf("got %v, %v", blob, err)
		}
	}
	if n := read.Load(); n != 0 {
		t.Errorf("%d bytes were sent", n)
	}
}

func TestPutRefusedAheadOfTheBytes(t *testing.T) {
	var read atomic.Int64
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { answerProblem(w, 413, problem.BlobTooLarge) })
	_, err := c.Put(t.Context(), countingSource(strings.Repeat("x", 1<<20), &read), client.PutOptions{})
	if !errors.Is(err, cas.ErrBlobTooLarge) || read.Load() != 0 {
		t.Errorf("%v, and %d bytes were sent", err, read.Load())
	}
}

func TestPutOfContentThatChanged(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) { store(w, r) })
	was := sourceOf(strings.Repeat("x", 1<<20))
	for name, now := range map[string]string{
		"other bytes": strings.Repeat("y", 1<<20),
		"fewer bytes": "xxx",
	} {
		s := was
		s.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(now)), nil }
		_, err := c.Put(t.Context(), s, client.PutOptions{})
		if !errors.Is(err, cas.ErrDigestMismatch) || !strings.Contains(err.Error(), "changed while it was read") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A file that has only grown still holds the requested bytes.
	s := was
	s.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(strings.Repeat("x", 2<<20))), nil }
	if blob, err := c.Put(t.Context(), s, client.PutOptions{}); err != nil || blob.Size != 1<<20 {
		t.Errorf("more bytes: %v, %v", blob, err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, fs.ErrPermission }

func TestSourceErrorsAreTheirOwn(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) { store(w, r) })
	s := sourceOf("x")
	s.Open = func() (io.ReadCloser, error) { return io.NopCloser(failingReader{}), nil }
	if _, err := c.Put(t.Context(), s, client.PutOptions{}); !errors.Is(err, fs.ErrPermission) || errors.Is(err, client.ErrUnreachable) {
		t.Errorf("reading: %v", err)
	}
	s.Open = func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }
	if _, err := c.Put(t.Context(), s, client.PutOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening: %v", err)
	}
	if _, err := c.PutStream(t.Context(), failingReader{}, client.PutOptions{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("streaming: %v", err)
	}
	if _, err := client.NewSource(s.Open); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("making a source: %v", err)
	}
}

func TestPutStream(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.ContentLength != -1 {
			t.Errorf("%s with length %d", r.Method, r.ContentLength)
		}
		store(w, r)
	})
	for _, text := range []string{"", "hello", strings.Repeat("x", 1<<20)} {
		blob, err := c.PutStream(t.Context(), strings.NewReader(text), client.PutOptions{Name: "n"})
		if err != nil || blob.Digest != cas.DigestOf([]byte(text)) || blob.Name != "n" {
			t.Errorf("%d bytes: got %v, %v", len(text), blob, err)
		}
	}
}

func TestCancelWhileTheStreamPauses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = r.Body.Read(make([]byte, 5))
		cancel()
		_, _ = io.Copy(io.Discard, r.Body)
	})
	r, w := io.Pipe()
	go func() { _, _ = w.Write([]byte("begun")) }()
	if _, err := c.PutStream(ctx, r, client.PutOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.Close() // ends the Read that is still under way
}

func TestGatewayThatStoredSomethingElse(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answerJSON(w, 201, api.Blob{Digest: cas.DigestOf([]byte("else"))})
	})
	if _, err := c.PutStream(t.Context(), strings.NewReader("x"), client.PutOptions{}); !errors.Is(err, cas.ErrDigestMismatch) {
		t.Errorf("stream: %v", err)
	}
	if _, err := c.Put(t.Context(), sourceOf("x"), client.PutOptions{}); err == nil {
		t.Error("source: no error")
	}
}
