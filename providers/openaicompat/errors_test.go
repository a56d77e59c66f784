package openaicompat_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// TestKinds: what an answer means, for an upload and for calls that may be
// repeated.
func TestKinds(t *testing.T) {
	t.Parallel()
	const html, said = "<html><h1>An error</h1></html>", `{"error":{"message":"no","type":"some_error"}}`
	for _, test := range []struct {
		status         int
		body           string
		upload, delete providers.Kind
	}{
		{400, said, providers.KindPermanent, providers.KindPermanent},
		{400, html, providers.KindPermanent, providers.KindPermanent},
		{401, said, providers.KindAuth, providers.KindAuth},
		{401, html, providers.KindAuth, providers.KindAuth},
		{402, said, providers.KindQuota, providers.KindQuota},
		{403, said, providers.KindAuth, providers.KindAuth},
		{404, said, providers.KindPermanent, providers.KindLost},
		{404, html, providers.KindPermanent, providers.KindPermanent}, // the wrong base URL
		{404, `{}`, providers.KindPermanent, providers.KindPermanent},
		{410, said, providers.KindPermanent, providers.KindLost},
		{408, said, providers.KindTransient, providers.KindTransient},
		{409, said, providers.KindTransient, providers.KindTransient},
		{413, html, providers.KindPermanent, providers.KindPermanent},
		{429, html, providers.KindTransient, providers.KindTransient},
		{499, said, providers.KindUnknown, providers.KindTransient},
		{500, said, providers.KindTransient, providers.KindTransient},
		{500, html, providers.KindUnknown, providers.KindTransient},
		{500, ``, providers.KindUnknown, providers.KindTransient},
		{502, html, providers.KindUnknown, providers.KindTransient},
		{503, said, providers.KindTransient, providers.KindTransient},
		{504, html, providers.KindUnknown, providers.KindTransient},
		{504, said, providers.KindUnknown, providers.KindTransient}, // something behind it may still be at work
		{301, html, providers.KindPermanent, providers.KindPermanent},
		{200, html, providers.KindUnknown, providers.KindTransient},
		{200, ``, providers.KindUnknown, providers.KindTransient},
		{200, `[]`, providers.KindUnknown, providers.KindTransient},
		{200, `{}`, providers.KindUnknown, providers.KindTransient},
		{200, `{"id":"","deleted":"yes"}`, providers.KindUnknown, providers.KindTransient},
		{200, `{"id":"..","deleted":null}`, providers.KindUnknown, providers.KindTransient},
		{200, `{"id":{"a":1}}`, providers.KindUnknown, providers.KindTransient},
		{200, `{"id":"` + strings.Repeat("x", 256) + `"}`, providers.KindUnknown, providers.KindTransient},
		{200, `{"id":"f","deleted":true`, providers.KindUnknown, providers.KindTransient},
		{200, said, providers.KindUnknown, providers.KindTransient},
		{200, `{"id":"f","deleted":true,"error":{"message":"no","code":"x"}}`, providers.KindUnknown, providers.KindTransient},
		{200, `{"success":false}`, providers.KindUnknown, providers.KindTransient},
		{200, `{"code":400,"msg":"no"}`, providers.KindPermanent, providers.KindPermanent},
		{200, `{"code":"503","message":"no"}`, providers.KindTransient, providers.KindTransient},
		{200, `{"error":{"code":"insufficient_quota","message":"no"}}`, providers.KindQuota, providers.KindQuota},
		{204, ``, providers.KindUnknown, ""},
		{200, `{"id":"f","deleted":true,"error":null}`, "", ""},
		{200, `{"id":"f","deleted":true,"error":{},"code":0,"msg":"ok"}`, "", ""},
		{200, `{"id":"f","deleted":false}`, "", providers.KindLost},
	} {
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				io.Copy(io.Discard, r.Body)
			}
			contentType := "application/json"
			if test.body == html {
				contentType = "text/html"
			}
			return answer(r, test.status, contentType, test.body), nil
		})
		s := &source{Reader: strings.NewReader("abc")}
		_, err := p.Upload(t.Context(), s.upload(3))
		s.wantClosed(t)
		wantKind(t, "upload", test.status, test.body, err, test.upload)
		wantKind(t, "delete", test.status, test.body, p.Delete(t.Context(), "f"), test.delete)
	}
}

func wantKind(t *testing.T, op string, status int, body string, err error, want providers.Kind) {
	t.Helper()
	if got := providers.KindOf(err); got != want {
		t.Errorf("%s answered %d %.60q: kind %q (%v); want %q", op, status, body, got, err, want)
	}
	if e, ok := errors.AsType[*providers.Error](err); ok {
		if e.Status != status || e.Message == "" || strings.Contains(e.Message, "<") {
			t.Errorf("%s answered %d %.60q: %+v", op, status, body, e)
		}
		if e.TooMany != (status == 429) {
			t.Errorf("%s answered %d: TooMany %t", op, status, e.TooMany)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header, value string
		want          time.Duration
	}{
		{"Retry-After", "3", 3 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond},
		{"Retry-After-Ms", "250", 250 * time.Millisecond},
		{"Retry-After", "-1", 0},
		{"Retry-After", "NaN", 0},
		{"Retry-After", "Inf", time.Hour},
		{"Retry-After", "1e300", time.Hour},
		{"Retry-After", "soon", 0},
		{"Retry-After", "", 0},
		{"Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 0},
		{"Retry-After", time.Now().Add(100 * time.Hour).UTC().Format(http.TimeFormat), time.Hour},
	} {
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			a := answer(r, 429, "application/json", `{"error":{"message":"slow down"}}`)
			a.Header.Set(test.header, test.value)
			return a, nil
		})
		e, _ := errors.AsType[*providers.Error](p.Delete(t.Context(), "f"))
		if e == nil || e.RetryAfter != test.want {
			t.Errorf("%s: %s: got %+v; want %s", test.header, test.value, e, test.want)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	for status, hint := range map[int]string{401: "CAS_OPENAI_API_KEY", 413: "smaller", 404: "CAS_OPENAI_BASE_URL", 308: "CAS_OPENAI_BASE_URL"} {
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			a := answer(r, status, "text/html", "")
			a.Header.Set("Location", "https://elsewhere.example/v1/files?token=abc")
			return a, nil
		})
		e, _ := errors.AsType[*providers.Error](p.Delete(t.Context(), "f"))
		if e == nil || !strings.Contains(e.Hint, hint) {
			t.Errorf("%d: %+v; want the hint %q", status, e, hint)
		}
		if moved := status == 308; e != nil && strings.Contains(e.Message, "elsewhere.example") != moved || strings.Contains(e.Error(), "abc") {
			t.Errorf("%d: %v", status, e)
		}
	}
}

// A redirect within the host is followed where nothing can go wrong by it.
func TestRedirects(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("/v1/files/f", http.RedirectHandler("/v2/f", http.StatusFound))
	mux.HandleFunc("GET /v2/f", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"id":"f","bytes":1,"deleted":true}`)
	})
	mux.Handle("/v1/files/round", http.RedirectHandler("/v1/files/round", http.StatusFound))
	p := at(t, preset(t, "openai"), serve(t, mux)+"/v1")
	retriever := p.(providers.Retriever)
	if f, err := retriever.Retrieve(t.Context(), "f"); err != nil || f.ID != "f" {
		t.Errorf("got %+v, %v", f, err)
	}
	if err := p.Delete(t.Context(), "f"); providers.KindOf(err) != providers.KindPermanent {
		t.Errorf("a delete that became a GET: %v", err)
	}
	if _, err := retriever.Retrieve(t.Context(), "round"); providers.KindOf(err) != providers.KindPermanent {
		t.Errorf("round and round: %v", err)
	}
}

// silent never answers.
func silent(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
		defer r.Body.Close()
	}
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

func TestTimeOuts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call func(context.Context, providers.Provider) error
		want time.Duration
		kind providers.Kind
	}{
		"small upload": {func(ctx context.Context, p providers.Provider) error {
			_, err := p.Upload(ctx, (&source{Reader: strings.NewReader("abc")}).upload(3))
			return err
		}, 5 * time.Minute, providers.KindUnknown},
		"large upload": {func(ctx context.Context, p providers.Provider) error {
			const size = 64 << 20 // at 64 KiB/s 1024 s more
			_, err := p.Upload(ctx, (&source{Reader: io.LimitReader(zeros{}, size)}).upload(size))
			return err
		}, 5*time.Minute + 1024*time.Second, providers.KindUnknown},
		"delete": {func(ctx context.Context, p providers.Provider) error { return p.Delete(ctx, "f") }, 30 * time.Second, providers.KindTransient},
		"list": {func(ctx context.Context, p providers.Provider) error {
			for _, err := range p.List(ctx, "") {
				return err
			}
			return nil
		}, 30 * time.Second, providers.KindTransient},
		"download": {func(ctx context.Context, p providers.Provider) error {
			_, err := p.(providers.Downloader).Download(ctx, "f")
			return err
		}, 30 * time.Second, providers.KindTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := with(t, preset(t, "openai"), silent)
				start := time.Now()
				err := test.call(t.Context(), p)
				// A little more for a small body, by its size.
				if took := time.Since(start); took < test.want || took > test.want+time.Millisecond {
					t.Errorf("it took %s; want %s", took, test.want)
				}
				e, ok := errors.AsType[*providers.Error](err)
				if !ok || e.Code != providers.CodeTimeout || e.Kind != test.kind {
					t.Errorf("got %v (%s); want %s", err, providers.KindOf(err), test.kind)
				}
				// It is the provider's fault, and not the caller's.
				if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
					t.Errorf("%v looks like the caller's own doing", err)
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A long answer may take its time, as long as it goes on.
func TestStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pieces, piece := io.Pipe()
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			a := answer(r, 200, "application/octet-stream", "")
			a.Body = pieces
			context.AfterFunc(r.Context(), func() { piece.CloseWithError(context.Cause(r.Context())) })
			return a, nil
		})
		body, err := p.(providers.Downloader).Download(t.Context(), "f")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range 10 {
				time.Sleep(29 * time.Second)
				io.WriteString(piece, "x")
			}
		}()
		var one [1]byte
		for i := range 10 {
			if _, err := io.ReadFull(body, one[:]); err != nil {
				t.Fatalf("after %d bytes: %v", i, err)
			}
		}
		time.Sleep(time.Hour) // the client does not read meanwhile
		start := time.Now()
		_, err = body.Read(one[:])
		if e, ok := errors.AsType[*providers.Error](err); !ok || e.Code != providers.CodeTimeout || e.Op != providers.OpDownload {
			t.Errorf("got %v; want a time-out", err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("it took %s", took)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Content that doesn't heed its context is not waited for.
func TestContentHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		s := &source{Reader: waiting(hang)}
		ctx, cancel := context.WithCancel(t.Context())
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			go io.Copy(io.Discard, r.Body)
			synctest.Wait()
			cancel()
			return nil, r.Context().Err()
		})
		start := time.Now()
		_, err := p.Upload(ctx, s.upload(3))
		if took := time.Since(start); took != time.Second || !errors.Is(err, context.Canceled) {
			t.Errorf("after %s: %v", took, err)
		}
		close(hang)
		synctest.Wait()
		s.wantClosed(t)
	})
}

type waiting chan struct{}

func (w waiting) Read([]byte) (int, error) {
	<-w
	return 0, io.EOF
}

// TestErrorInsteadOfContent: an error with status 200 is told by being JSON; a file
// that looks like one is a file.
func TestErrorInsteadOfContent(t *testing.T) {
	t.Parallel()
	const said = `{"error":{"code":"insufficient_quota","message":"no"}}`
	for _, test := range []struct {
		contentType, body string
		want              providers.Kind
	}{
		{"application/json", said, providers.KindQuota},
		{"application/json; charset=utf-8", said, providers.KindQuota},
		{"application/octet-stream", said, ""},
		{"application/json", said + "\n" + said, ""},
		{"application/json", `{"content":"text"}`, ""},
		{"application/json", `{"error":{"message":"` + strings.Repeat("x", 64<<10) + `"}}`, ""},
	} {
		p := with(t, preset(t, "openai"), func(r *http.Request) (*http.Response, error) {
			return answer(r, 200, test.contentType, test.body), nil
		})
		body, err := p.(providers.Downloader).Download(t.Context(), "f")
		if providers.KindOf(err) != test.want {
			t.Errorf("%s %.60s: %v; want kind %q", test.contentType, test.body, err, test.want)
		}
		if err != nil {
			continue
		}
		got, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(got) != test.body {
			t.Errorf("%s: got %d bytes, %v; want %d", test.contentType, len(got), err, len(test.body))
		}
	}
}

// The words of an error count in each charset and case, and whatever the status is.
func TestWords(t *testing.T) {
	t.Parallel()
	const jsonType = "application/json"
	gbk := func(text string) string {
		encoded, err := simplifiedchinese.GBK.NewEncoder().String(text)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	for _, test := range []struct {
		status            int
		contentType, body string
		want              providers.Kind
		message           string // a part of it
	}{
		{429, jsonType, `{"error":{"message":"You exceeded your current quota, please check your plan"}}`, providers.KindQuota, "current quota"},
		{429, jsonType, `{"error":{"message":"Please check your account balance"}}`, providers.KindQuota, "balance"},
		{429, jsonType, `{"message":"Insufficient balance"}`, providers.KindQuota, "balance"},
		{429, jsonType, `{"error":"Please recharge your account"}`, providers.KindQuota, "recharge"},
		{429, jsonType, `{"detail":"your account is in arrears"}`, providers.KindQuota, "arrears"},
		{429, "text/plain", `your account is in arrears`, providers.KindQuota, "429"},
		{429, jsonType, `{"error":{"message":"您的账户已欠费"}}`, providers.KindQuota, "欠费"},
		{429, jsonType, `{"error":{"message":"the rate quota of your balance group is reached"}}`, providers.KindTransient, "balance group"},
		{200, jsonType, `{"error":{"message":"no","type":"invalid_request_error"}}`, providers.KindPermanent, "no"},
		{200, jsonType, `{"error":{"message":"no","type":"Invalid_Request_Error"}}`, providers.KindPermanent, "no"},
		{200, jsonType, `{"error":{"message":"no","type":"authentication_error"}}`, providers.KindAuth, "no"},
		{200, jsonType, `{"error":{"message":"no","type":"server_error"}}`, providers.KindTransient, "no"},
		{200, jsonType, `{"error":{"message":"insufficient balance","code":429}}`, providers.KindQuota, "balance"},
		{200, jsonType, `{"id":"f","code":"SUCCESS","message":"done"}`, "", ""},
		{400, "application/json; charset=GBK", gbk(`{"error":{"message":"文件格式不支持"}}`), providers.KindPermanent, "文件格式不支持"},
		{429, "application/json; charset=gb2312", gbk(`{"error":{"message":"账户余额不足"}}`), providers.KindQuota, "余额不足"},
		{400, "application/json; charset=utf-8", "\xef\xbb\xbf" + `{"error":{"message":"with a mark"}}`, providers.KindPermanent, "with a mark"},
		{400, "application/json; charset=no-such", `{"error":{"message":"no"}}`, providers.KindPermanent, "no"},
	} {
		for _, c := range openaicompat.Presets() {
			p := with(t, c, func(r *http.Request) (*http.Response, error) {
				io.Copy(io.Discard, r.Body)
				return answer(r, test.status, test.contentType, test.body), nil
			})
			s := &source{Reader: strings.NewReader("abc")}
			_, err := p.Upload(t.Context(), s.upload(3))
			if got := providers.KindOf(err); got != test.want {
				t.Errorf("%s: %d %q: kind %q (%v); want %q", c.Name, test.status, test.body, got, err, test.want)
			}
			if e, ok := errors.AsType[*providers.Error](err); ok && (!strings.Contains(e.Message, test.message) || e.Kind == providers.KindQuota && e.TooMany) {
				t.Errorf("%s: %d %q: %+v", c.Name, test.status, test.body, e)
			}
		}
	}
}
