package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/gateway/client"
)

var (
	content = bytes.Repeat([]byte("some content, "), 1<<14)
	digest  = cas.DigestOf(content)
)

// etag is the gateway's ETag of the content.
var etag = `"` + digest.String() + `"`

func serveContent(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", etag)
	w.Header().Set("Content-Type", "text/x-test")
	w.Header().Set("Content-Disposition", `attachment; filename*=utf-8''gr%C3%BCn.txt`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// open gets the content and reads it until it ends in whatever way.
func open(t *testing.T, c *client.Client, o client.OpenOptions) (*client.Content, []byte, error) {
	t.Helper()
	got, err := c.Blob(digest).Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	return got, b, err
}

func TestGetAndStat(t *testing.T) {
	c := newClient(t, serveContent)
	want := client.Info{Digest: digest, Size: int64(len(content)), MediaType: "text/x-test", Name: "grün.txt"}
	got, b, err := open(t, c, client.OpenOptions{})
	if err != nil || !bytes.Equal(b, content) || got.Info != want || got.Offset != 0 {
		t.Errorf("got %d bytes, %+v, %v", len(b), got.Info, err)
	}
	if info, err := c.Blob(digest).Stat(t.Context(), client.OpenOptions{}); err != nil || info != want {
		t.Errorf("got %+v, %v", info, err)
	}
	got, b, err = open(t, c, client.OpenOptions{Offset: 1000})
	if err != nil || !bytes.Equal(b, content[1000:]) || got.Info != want || got.Offset != 1000 {
		t.Errorf("from 1000: got %d bytes, %+v, %v", len(b), got, err)
	}
}

func TestGetOfTheWholeInsteadOfThePart(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		serveContent(w, r)
	})
	got, b, err := open(t, c, client.OpenOptions{Offset: 1000})
	if err != nil || !bytes.Equal(b, content) || got.Offset != 0 {
		t.Errorf("got %d bytes from %d, %v", len(b), got.Offset, err)
	}
}

func TestGetOfAnotherPart(t *testing.T) {
	for _, contentRange := range []string{"", "bytes 999-999/1000", "bytes 1000-1000/*", "bytes 1000-1000/2000", "garbage"} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", etag)
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write([]byte("x"))
		})
		for _, offset := range []int64{0, 1000} {
			if _, err := c.Blob(digest).Open(t.Context(), client.OpenOptions{Offset: offset}); err == nil || !strings.Contains(err.Error(), "another part") {
				t.Errorf("%q from %d: %v", contentRange, offset, err)
			}
		}
	}
}

func TestWrongBytesAreNeverWhole(t *testing.T) {
	for name, wrong := range map[string][]byte{
		"a bit flipped": append(content[:len(content)-1:len(content)-1], content[len(content)-1]^1),
		"shorter":       content[:len(content)-1],
		"longer":        append(content[:len(content):len(content)], 'x'),
		"empty":         nil,
	} {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", etag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(wrong))
		})
		_, b, err := open(t, c, client.OpenOptions{})
		if !errors.Is(err, cas.ErrDigestMismatch) || len(wrong) > 0 && len(b) >= len(wrong) {
			t.Errorf("%s: %d of %d bytes came, %v", name, len(b), len(wrong), err)
		}
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", "W/"+etag) // as proxies do that compress other things
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(content[:50_000])
		panic(http.ErrAbortHandler)
	})
	_, b, err := open(t, c, client.OpenOptions{})
	if !errors.Is(err, client.ErrUnreachable) || errors.Is(err, cas.ErrDigestMismatch) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestBodyWithoutLength(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", etag)
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(content)
	})
	if _, err := c.Blob(digest).Open(t.Context(), client.OpenOptions{}); err == nil || !strings.Contains(err.Error(), "without its length") {
		t.Error(err)
	}
	if _, err := c.Blob(digest).Stat(t.Context(), client.OpenOptions{}); err == nil || !strings.Contains(err.Error(), "without its length") {
		t.Error(err)
	}
}

func TestCancelWhileTheBodyComes(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", "W/"+etag) // as proxies do that compress other things
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(content[:50_000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	got, err := c.Blob(digest).Open(ctx, client.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	if _, err := io.ReadFull(got.Body, make([]byte, 40_000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(got.Body); !errors.Is(err, context.Canceled) || errors.Is(err, client.ErrUnreachable) {
		t.Error(err)
	}
}

func TestSignedURLGoesWithoutToken(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.Query().Get("signature") != "s" {
			t.Errorf("%s with headers %v", r.URL, r.Header)
		}
		serveContent(w, r)
	})
	signed, err := client.ParseBlobURL(c.BaseURL() + "/v1/blobs/" + digest.String() + "?signature=s&expires=1")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t, c, client.OpenOptions{Signature: signed.Signature}); err != nil {
		t.Error(err)
	}
	if _, err := c.Blob(digest).Stat(t.Context(), client.OpenOptions{Signature: signed.Signature}); err != nil {
		t.Error(err)
	}
}

// A body that brings no byte for two minutes has lost its connection. One that is slow has not.
func TestSilentBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := []byte(strings.Repeat("0123456789", 10))
		d := cas.DigestOf(content)
		s := &script{t: t, steps: []step{func(r *http.Request) (*http.Response, error) {
			silent := readerFunc(func([]byte) (int, error) {
				<-r.Context().Done()
				return 0, r.Context().Err()
			})
			body := io.MultiReader(bytes.NewReader(content[:10]), &pausing{bytes.NewReader(content[10:20]), 90 * time.Second}, &pausing{bytes.NewReader(content[20:30]), 90 * time.Second}, silent)
			return &http.Response{
				StatusCode: 200, Header: http.Header{"Etag": {`"` + d.String() + `"`}}, ContentLength: int64(len(content)), Body: io.NopCloser(body),
			}, nil
		}}}
		begun := time.Now()
		opened, err := s.client().Blob(d).Open(t.Context(), client.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Body.Close()
		got, err := io.ReadAll(opened.Body)
		if !errors.Is(err, client.ErrUnreachable) || !strings.Contains(err.Error(), "fell silent after 30 of 100 bytes") || !bytes.Equal(got, content[:30]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(begun); took != 5*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
