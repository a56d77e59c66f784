package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// script answers one request after the other, without a network, so that time
// may be synctest's.
type script struct {
	t     *testing.T
	steps []func(*http.Request) (*http.Response, error)
	at    []time.Duration // when each request came, since the first
	begun time.Time
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(s.at) == 0 {
		s.begun = time.Now()
	}
	if len(s.at) >= len(s.steps) {
		s.t.Fatalf("request %d was not expected", len(s.at)+1)
	}
	step := s.steps[len(s.at)]
	s.at = append(s.at, time.Since(s.begun))
	return step(r)
}

func (s *script) client() *client.Client {
	c, err := client.New("http://gateway", client.Options{HTTPClient: &http.Client{Transport: s}})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

type step = func(*http.Request) (*http.Response, error)

func response(status int, contentType string, v any) *http.Response {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(bytes.NewReader(text))}
}

func succeed(v any) step {
	return func(*http.Request) (*http.Response, error) { return response(200, "application/json", v), nil }
}

func refuse(status int, code problem.Code, retryAfter string) step {
	return func(*http.Request) (*http.Response, error) {
		res := response(status, "application/problem+json", problem.Details{Code: code, Detail: "no", Retryable: true})
		if retryAfter != "" {
			res.Header.Set("Retry-After", retryAfter)
		}
		return res, nil
	}
}

func breakOff(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") }

func TestRetriesUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, steps: []step{
			refuse(503, problem.IndexUnavailable, ""), breakOff, refuse(429, problem.TooManyRequests, ""), refuse(503, "", ""),
			succeed(api.BlobMeta{State: cas.StateLive}),
		}}
		if _, err := s.client().Blob(cas.Digest{}).Meta(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < len(s.at); i++ {
			full := 100 * time.Millisecond << (i - 1)
			if wait := s.at[i] - s.at[i-1]; wait < full/2 || wait > full {
				t.Errorf("wait %d is %v, not between %v and %v", i, wait, full/2, full)
			}
		}
	})
}

func TestRetryGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := refuse(503, problem.StoreUnavailable, "")
		s := &script{t: t, steps: []step{busy, busy, busy, busy, busy}}
		if _, err := s.client().Blob(cas.Digest{}).Meta(t.Context()); !errors.Is(err, cas.ErrStoreUnavailable) || len(s.at) != 5 {
			t.Errorf("%v after %d attempts", err, len(s.at))
		}
	})
}

func TestRetryAfterIsHeeded(t *testing.T) {
	for name, header := range map[string]func() string{
		"seconds": func() string { return "7" },
		"date":    func() string { return time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{t: t, steps: []step{refuse(429, problem.TooManyRequests, header()), succeed(api.Missing{})}}
				if _, err := s.client().FindMissing(t.Context(), []cas.Digest{{}}); err != nil {
					t.Fatal(err)
				}
				if wait := s.at[1]; wait < 7*time.Second || wait > 8*time.Second {
					t.Errorf("waited %v", wait)
				}
			})
		})
	}
}

func TestRetryAfterTooLongIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, steps: []step{refuse(503, problem.Overloaded, "3600")}}
		_, err := s.client().Blob(cas.Digest{}).Meta(t.Context())
		if _, ok := errors.AsType[*client.Error](err); !ok || len(s.at) != 1 {
			t.Errorf("%v after %d attempts", err, len(s.at))
		}
	})
}

func TestFinalAnswersAreNotRetried(t *testing.T) {
	for _, code := range []struct {
		status int
		code   problem.Code
	}{{400, problem.InvalidRequest}, {404, problem.BlobNotFound}, {500, problem.Internal}, {502, problem.ObjectCorrupt}, {507, problem.NoSpace}} {
		s := &script{t: t, steps: []step{refuse(code.status, code.code, "")}}
		if _, err := s.client().Blob(cas.Digest{}).Meta(t.Context()); err == nil {
			t.Errorf("%s: no error", code.code)
		}
	}
}

func TestDeleteAndReadyAreNotRetried(t *testing.T) {
	s := &script{t: t, steps: []step{breakOff}}
	if err := s.client().Blob(cas.Digest{}).Delete(t.Context(), client.DeleteOptions{}); !errors.Is(err, client.ErrUnreachable) {
		t.Error(err)
	}
	s = &script{t: t, steps: []step{breakOff}}
	if err := s.client().Ready(t.Context()); !errors.Is(err, client.ErrUnreachable) {
		t.Error(err)
	}
}

// A lost answer leaves open whether a delete was done. A connection that never came about does
// not.
func TestALostAnswerToADelete(t *testing.T) {
	const says = "the delete may have been done"
	refuseToConnect := func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	deletes := map[string]func(*client.Client) error{
		"blob": func(c *client.Client) error { return c.Blob(cas.Digest{}).Delete(t.Context(), client.DeleteOptions{}) },
		"blob everywhere": func(c *client.Client) error {
			_, err := c.Blob(cas.Digest{}).DeleteEverywhere(t.Context(), client.EverywhereOptions{})
			return err
		},
		"file": func(c *client.Client) error { return c.File("file-1").Delete(t.Context()) },
		"copies": func(c *client.Client) error {
			_, err := c.File("file-1").DeleteCopies(t.Context(), "kimi", "")
			return err
		},
	}
	for name, remove := range deletes {
		s := &script{t: t, steps: []step{breakOff}}
		if err := remove(s.client()); !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
		s = &script{t: t, steps: []step{refuseToConnect}}
		if err := remove(s.client()); !errors.Is(err, client.ErrUnreachable) || strings.Contains(err.Error(), says) {
			t.Errorf("%s, without a connection: %v", name, err)
		}
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s := &script{t: t, steps: []step{refuse(503, problem.Overloaded, "20")}}
		begun := time.Now()
		if _, err := s.client().Blob(cas.Digest{}).Meta(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// stuck answers nothing, on a connection that is new or was used before.
func stuck(reused bool) step {
	return func(r *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{Reused: reused})
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
}

// A connection may be lost without a word, so a request on an old one is tried again. A server
// that takes new connections and is silent would let each attempt wait as long.
func TestNoAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, steps: []step{stuck(true), succeed(api.BlobMeta{})}}
		if _, err := s.client().Blob(cas.Digest{}).Meta(t.Context()); err != nil {
			t.Error(err)
		}
		if s.at[1] < 30*time.Second || s.at[1] > 31*time.Second {
			t.Errorf("tried again after %v", s.at[1])
		}
	})
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := &script{t: t, steps: []step{stuck(true), stuck(false)}}
		_, err := s.client().Blob(cas.Digest{}).Meta(t.Context())
		if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "no answer within 30s") {
			t.Error(err)
		}
		if took := time.Since(begun); took < time.Minute || took > 62*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A gateway that takes an upload, or a part of it, and is silent then, is given up at last. The
// time of a slow source does not count, and the time is longer for more bytes.
func TestSilentGatewayDuringAnUpload(t *testing.T) {
	silent := func(length int64) step {
		return func(r *http.Request) (*http.Response, error) {
			if _, err := io.CopyN(io.Discard, r.Body, length); err != nil {
				return nil, err
			}
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}
	}
	content := strings.Repeat("0123456789", 10<<20/10)
	type upload func(ctx context.Context, c *client.Client, r io.Reader) error
	stream := func(ctx context.Context, c *client.Client, r io.Reader) error {
		_, err := c.PutStream(ctx, r, client.PutOptions{})
		return err
	}
	source := func(ctx context.Context, c *client.Client, _ io.Reader) error {
		_, err := c.Put(ctx, sourceOf(content), client.PutOptions{})
		return err
	}
	file := func(ctx context.Context, c *client.Client, r io.Reader) error {
		_, err := c.CreateFile(ctx, r, client.NewFile{Name: "name", Purpose: "user_data"})
		return err
	}
	all, whole := silent(int64(len(content))), 15*time.Minute+40*time.Second
	for name, c := range map[string]struct {
		upload upload
		step   step
		pause  time.Duration // of the source
		taken  time.Duration
	}{
		"all of a stream":      {stream, all, 0, whole},
		"a part of a stream":   {stream, silent(10), 0, 15 * time.Minute},
		"a stream that pauses": {stream, all, 24 * time.Hour, whole},
		"a source":             {source, all, 0, whole},
		"a file":               {file, all, 0, whole},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, begun := &script{t: t, steps: []step{c.step}}, time.Now()
				source := io.MultiReader(strings.NewReader(content[:1000]), &pausing{strings.NewReader(content[1000:]), c.pause})
				err := c.upload(t.Context(), s.client(), source)
				if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "took no more bytes of the upload") {
					t.Error(err)
				}
				if took := time.Since(begun) - c.pause; took < c.taken || took > c.taken+time.Second {
					t.Errorf("it took %v; want %v", took, c.taken)
				}
			})
		})
	}
}

// pausing pauses before its first byte.
type pausing struct {
	io.Reader
	pause time.Duration
}

func (p *pausing) Read(b []byte) (int, error) {
	time.Sleep(p.pause) // of the bubble
	p.pause = 0
	return p.Reader.Read(b)
}

// take reads a request's body and answers as a gateway that stored it.
func take(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return response(201, "application/json", api.Blob{Digest: cas.DigestOf(body), Size: int64(len(body))}), nil
}

func takeHalf(then step) step {
	return func(r *http.Request) (*http.Response, error) {
		if _, err := io.ReadFull(r.Body, make([]byte, r.ContentLength/2)); err != nil {
			return nil, err
		}
		return then(r)
	}
}

func TestPutSendsTheWholeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, steps: []step{takeHalf(breakOff), takeHalf(refuse(503, problem.Overloaded, "")), take}}
		source := sourceOf(strings.Repeat("0123456789", 10_000))
		blob, err := s.client().Put(t.Context(), source, client.PutOptions{})
		if err != nil || blob.Digest != source.Digest {
			t.Errorf("got %v, %v", blob, err)
		}
	})
}

func TestPutStreamIsRetriedOnlyUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, steps: []step{breakOff, refuse(503, problem.Overloaded, ""), take}}
		blob, err := s.client().PutStream(t.Context(), strings.NewReader("stream"), client.PutOptions{})
		if err != nil || blob.Digest != cas.DigestOf([]byte("stream")) {
			t.Errorf("got %v, %v", blob, err)
		}
		readOne := func(r *http.Request) (*http.Response, error) {
			if _, err := r.Body.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			return breakOff(r)
		}
		s = &script{t: t, steps: []step{readOne}}
		if _, err := s.client().PutStream(t.Context(), strings.NewReader("stream"), client.PutOptions{}); !errors.Is(err, client.ErrUnreachable) {
			t.Error(err)
		}
	})
}
