package openaicompat_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"casgate/providers"
)

// drip is a stream of so many bytes a second, for the time of a synctest bubble. It ends
// with the context.
type drip struct {
	ctx   context.Context
	bytes int
	left  int
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(time.Second):
	}
	n := min(d.bytes, d.left, len(p))
	copy(p, bytes.Repeat([]byte("x"), n))
	d.left -= n
	return n, nil
}

func (d *drip) Close() error { return nil }

// download reads a file of the provider whose answer comes as a drip.
func download(t *testing.T, bytes, size int) (read int, took time.Duration, err error) {
	t.Helper()
	p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
		a := answer(r, 200, "application/octet-stream", "")
		a.Body = &drip{ctx: r.Context(), bytes: bytes, left: size}
		return a, nil
	})
	began := time.Now()
	body, err := p.(providers.Downloader).Download(t.Context(), "file-1")
	if err != nil {
		return 0, time.Since(began), err
	}
	got, err := io.ReadAll(body)
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	return len(got), time.Since(began), err
}

func wantTimeout(t *testing.T, err error, kind providers.Kind, message string) {
	t.Helper()
	e, ok := err.(*providers.Error)
	if !ok || e.Kind != kind || e.Code != providers.CodeTimeout || !strings.Contains(e.Message, message) {
		t.Errorf("the error is %#v; want a time-out of kind %s: %s", err, kind, message)
	}
}

// An answer that comes in drops is ended, however long the provider sends them.
func TestDownloadInDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, took, err := download(t, 4, 1<<30)
		wantTimeout(t, err, providers.KindTransient, "too slow")
		if took < 5*time.Minute || took > 5*time.Minute+30*time.Second {
			t.Errorf("it ended after %v and %d bytes", took, read)
		}
	})
}

// A slow download that makes progress goes on.
func TestSlowDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 2 << 20
		read, took, err := download(t, 1200, size)
		if err != nil || read != size || took < 20*time.Minute {
			t.Errorf("%d bytes in %v, %v", read, took, err)
		}
	})
}

// The consumer's own time doesn't count.
func TestSlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			a := answer(r, 200, "application/octet-stream", "")
			a.Body = &drip{ctx: r.Context(), bytes: 1 << 14, left: 3 << 14}
			return a, nil
		})
		body, err := p.(providers.Downloader).Download(t.Context(), "file-1")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		for range 3 {
			if _, err := io.ReadFull(body, make([]byte, 1<<14)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
	})
}

// uploadTo uploads to a provider that reads the request with take, and then answers.
func uploadTo(t *testing.T, size int64, take func(*http.Request) error) (time.Duration, error) {
	t.Helper()
	p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
		defer r.Body.Close()
		if err := take(r); err != nil {
			return nil, err
		}
		return answer(r, 200, "application/json", `{"id":"f"}`), nil
	})
	began := time.Now()
	_, err := p.Upload(t.Context(), (&source{Reader: io.LimitReader(zeros{}, size)}).upload(size))
	return time.Since(began), err
}

// takeSlowly reads a request's body in pieces of so many bytes, one for each pause.
func takeSlowly(r *http.Request, bytes int, pause time.Duration) error {
	for piece := make([]byte, bytes); ; {
		switch _, err := r.Body.Read(piece); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-time.After(pause):
		}
	}
}

// A provider that reads an upload in drops doesn't hold it for hours.
func TestUploadInDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := uploadTo(t, 500<<20, func(r *http.Request) error { return takeSlowly(r, 4, time.Second) })
		wantTimeout(t, err, providers.KindUnknown, "too slow")
		if took < 5*time.Minute || took > 5*time.Minute+30*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

// A provider that stops reading ends the upload soon.
func TestUploadStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := uploadTo(t, 500<<20, func(r *http.Request) error {
			if _, err := io.CopyN(io.Discard, r.Body, 1<<20); err != nil {
				return err
			}
			<-r.Context().Done()
			return r.Context().Err()
		})
		wantTimeout(t, err, providers.KindUnknown, "2 minutes")
		if took != 2*time.Minute {
			t.Errorf("it ended after %v", took)
		}
	})
}

// The wait for the answer to a whole upload has the longer limit: some providers answer
// only after they have parsed the file.
func TestUploadAnsweredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := uploadTo(t, 1<<20, func(r *http.Request) error {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return err
			}
			select {
			case <-r.Context().Done():
				return r.Context().Err()
			case <-time.After(4 * time.Minute):
				return nil
			}
		})
		if err != nil || took != 4*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// A slow upload that makes progress goes on.
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := uploadTo(t, 60<<20, func(r *http.Request) error { return takeSlowly(r, 64<<10, 900*time.Millisecond) })
		if err != nil || took < 10*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
	})
}
