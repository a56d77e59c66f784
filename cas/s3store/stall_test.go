package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store/s3client"
	"casgate/cas/s3store/s3test"
)

// A store that stops while it answers, or takes bytes, holds no call for longer than
// once its time limit and a few seconds. The error does not look like that of a caller
// that left, and the log says it.
func TestStoreThatStops(t *testing.T) {
	t.Parallel()
	// A store that works must not look as if it had stopped, on a busy machine.
	timeout := time.Duration(castest.Thorough(4000, 500)) * time.Millisecond
	limit := timeout + 15*time.Second // with retries
	var log lockedBuffer
	o, way := s3test.NewStalling(t, s3test.NewBucket(t))
	o.Timeout, o.Log = timeout, zerolog.New(&log)
	s := open(t, o)
	large := castest.RandomBytes(24 << 20)
	ref := cas.ObjectRef{Digest: cas.DigestOf(large)}
	put := func(data []byte, src io.Reader) error {
		d := cas.DigestOf(data)
		return s.Put(t.Context(), cas.ObjectRef{Digest: d}, cas.NewVerifyingReader(src, d, int64(len(data))))
	}
	castest.Eventually(t, "an upload in time", func() bool { return put(large, bytes.NewReader(large)) == nil })
	within := func(t *testing.T, what string, call func() error) {
		t.Helper()
		begin := time.Now()
		err := call()
		took := time.Since(begin)
		var timedOut *s3client.TimeoutError
		switch {
		case !errors.Is(err, cas.ErrStoreUnavailable) || !errors.As(err, &timedOut):
			t.Errorf("%s: error %v", what, err)
		case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
			t.Errorf("%s: the error looks like a caller that left: %v", what, err)
		case took > limit:
			t.Errorf("%s took %v", what, took)
		}
	}

	way.StopAfter(1 << 20)
	within(t, "a download", func() error {
		object, err := s.Open(t.Context(), ref, 0, -1)
		if err != nil {
			return err
		}
		defer object.Body.Close()
		_, err = io.Copy(io.Discard, object.Body)
		return err
	})
	way.Stop()
	var all sync.WaitGroup
	for what, call := range map[string]func() error{
		"a read": func() error {
			_, err := s.Open(t.Context(), ref, 0, -1)
			return err
		},
		"a look": func() error {
			_, err := s.Stat(t.Context(), ref)
			return err
		},
		"a small upload": func() error {
			data := castest.RandomBytes(100)
			return put(data, bytes.NewReader(data))
		},
		"a large upload": func() error {
			data := castest.RandomBytes(24 << 20)
			return put(data, bytes.NewReader(data))
		},
		"a large upload that can't be repeated": func() error {
			data := castest.RandomBytes(24 << 20)
			return put(data, io.MultiReader(bytes.NewReader(data)))
		},
	} {
		all.Go(func() { within(t, what, call) })
	}
	all.Wait()
	way.Go()

	// The limit is no limit for a slow client.
	slow := castest.RandomBytes(1 << 20)
	if err := put(slow, &pausingReader{src: bytes.NewReader(slow), at: len(slow) / 2, pause: 2 * timeout}); err != nil {
		t.Errorf("an upload from a slow source: %v", err)
	}
	object, err := s.Open(t.Context(), ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	got, err := io.ReadAll(&pausingReader{src: object.Body, at: 1 << 20, pause: 2 * timeout})
	if err != nil || !bytes.Equal(got, large) {
		t.Errorf("a slow reader got %d bytes, error %v", len(got), err)
	}
	if text := log.String(); !strings.Contains(text, "lets requests wait") || strings.Count(text, "\n") > 3 {
		t.Errorf("the log says %q", text)
	}
}

// lockedBuffer is a buffer that several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// pausingReader waits once, after a number of bytes.
type pausingReader struct {
	src   io.Reader
	at    int
	pause time.Duration
	n     int
}

func (r *pausingReader) Read(p []byte) (int, error) {
	if before := r.n; before < r.at {
		defer func() {
			if r.n >= r.at {
				<-time.After(r.pause)
			}
		}()
	}
	n, err := r.src.Read(p)
	r.n += n
	return n, err
}
