package kimi_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/kimi"
	"casgate/providers/simulator"
	"casgate/providers/simulator/kimisim"
)

func upload(name, purpose, text string) providers.Upload {
	return providers.Upload{
		Name: name, Purpose: purpose, MediaType: "text/plain", Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

// TestLimitInTheMessage: the message about the number of files names the account's limit.
func TestLimitInTheMessage(t *testing.T) {
	t.Parallel()
	p, server := open(t, kimisim.Options{MaxFiles: 20})
	for i := range 20 {
		server.Put(simulator.RemoteFile{ID: fmt.Sprint("f", i), Name: "a.txt", Purpose: "file-extract"})
	}
	_, err := p.Upload(t.Context(), upload("b.txt", "file-extract", "a text"))
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.MaxFiles != 20 || !strings.Contains(e.Hint, "keeps 20") {
		t.Errorf("error %+v", e)
	}
}

// TestErrorTable walks the whole table: each row has one meaning, and some a hint.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	hints := map[string]string{ // by a part of the message
		"Invalid purpose":             "file-extract, image, video, batch",
		"size is too large":           "smaller",
		"size is zero":                "empty",
		"max file count":              "1000",
		"max file size, please":       "10 GB",
		"account balance":             "balance",
		"in arrears":                  "balance",
		"insufficient balance":        "balance",
		"text extract error":          "another purpose",
		"high risk":                   "refuses",
		"Authentication":              "CAS_KIMI_API_KEY and CAS_KIMI_BASE_URL",
		"Incorrect API key":           "keys of api.moonshot.cn don't work at api.moonshot.ai",
		"is not open":                 "no permission",
		"max RPM":                     "slow down",
		"suspended":                   "balance",
		"Failed to extract":           "complete",
		"Kimi-Api-Version":            "",
		"engine is currently":         "",
		"requested resource":          "",
		"invalid state":               "",
		"server is unavailable":       "",
		"client closed":               "",
		"Internal Server":             "",
		"get other user":              "CAS_KIMI_API_KEY",
		"IP is not":                   "CAS_KIMI_API_KEY",
		"request reached organizatio": "",
	}
	p, server := open(t, kimisim.Options{})
	for _, row := range kimisim.Errors {
		call := func() error {
			_, err := p.Upload(t.Context(), upload("a.txt", "file-extract", "text"))
			return err
		}
		if row.Op == providers.OpRetrieve {
			call = func() error { _, err := p.Retrieve(t.Context(), "no-such-file"); return err }
		}
		server.Fail(row.Fault(1))
		e, ok := errors.AsType[*providers.Error](call())
		if !ok {
			t.Errorf("%d %s: no error", row.Status, row.Code)
			continue
		}
		want := row.Kinds[0]
		switch {
		case row.Status == 499:
			want = providers.KindUnknown // it is not known which side closed, and when
		case row.Status >= 500:
			want = providers.KindTransient // the provider says so itself
		}
		if e.Kind != want || e.Status != row.Status || e.Code != cmp.Or(row.Means, row.Code) || e.RetryAfter != row.RetryAfter || e.TooMany != row.TooMany {
			t.Errorf("%d %s %q:\n got %+v\nwant kind %s, RetryAfter %s, TooMany %t", row.Status, row.Code, row.Message, *e, want, row.RetryAfter, row.TooMany)
		}
		known := false
		for part, hint := range hints {
			if strings.Contains(row.Message, part) {
				known = true
				if !strings.Contains(e.Hint, hint) {
					t.Errorf("%q: the hint is %q; want %q in it", row.Message, e.Hint, hint)
				}
			}
		}
		if !known {
			t.Errorf("no hint is expected for %q", row.Message)
		}
		if strings.Contains(e.Error(), "<ak") || strings.Contains(row.Message, "<ak") && !strings.Contains(e.Message, "[redacted]") {
			t.Errorf("the access key is told: %v", e)
		}
	}
}

func TestRateLimitsByHeader(t *testing.T) {
	t.Parallel()
	p, server := open(t, kimisim.Options{})
	fault := kimisim.RateLimited(20 * time.Second)
	fault.Op, fault.RetryAfter = providers.OpDelete, 3*time.Second
	server.Fail(fault)
	e, _ := errors.AsType[*providers.Error](p.Delete(t.Context(), "f"))
	if e == nil || e.RetryAfter != 3*time.Second {
		t.Errorf("got %+v; want the header's 3 s", e)
	}
}

func TestOddRateMessages(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]time.Duration{
		"please try again after 1 seconds":                      time.Second,
		"try again after 1.5 seconds":                           1500 * time.Millisecond,
		"try again after 1s":                                    time.Second,
		"try again after -1 seconds":                            0,
		"after " + strings.Repeat("9", 400) + " seconds, or so": 0,
		"after 99999999 seconds":                                time.Hour,
		"try again after lunch":                                 0,
	} {
		p, server := open(t, kimisim.Options{})
		server.Fail(simulator.Fault{Times: 1, Kind: simulator.Refuse, Status: 429, Code: "rate_limit_reached_error", Message: message})
		e, _ := errors.AsType[*providers.Error](p.Delete(t.Context(), "f"))
		if e == nil || e.RetryAfter != want || e.Kind != providers.KindTransient || !e.TooMany {
			t.Errorf("%.60q: got %+v; want %s", message, e, want)
		}
	}
}

// TestQuirks: what the service is known to do besides.
func TestQuirks(t *testing.T) {
	t.Parallel()
	t.Run("a repeated name is changed", func(t *testing.T) {
		t.Parallel()
		p, _ := open(t, kimisim.Options{})
		var names []string
		for range 2 {
			f, err := p.Upload(t.Context(), upload("a.tar.txt", "file-extract", "text"))
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, f.Name)
		}
		if !slices.Equal(names, []string{"a.tar.txt", "a.tar (1).txt"}) {
			t.Errorf("got %q", names)
		}
	})
	t.Run("ids of both shapes", func(t *testing.T) {
		t.Parallel()
		for _, legacy := range []bool{false, true} {
			p, _ := open(t, kimisim.Options{LegacyIDs: legacy})
			f, err := p.Upload(t.Context(), upload("a.txt", "file-extract", "text"))
			if err != nil || strings.HasPrefix(f.ID, "file_") == legacy {
				t.Errorf("legacy %t: %+v, %v", legacy, f, err)
			}
			if got, err := p.Retrieve(t.Context(), f.ID); err != nil || got.ID != f.ID {
				t.Errorf("legacy %t: %+v, %v", legacy, got, err)
			}
		}
	})
	t.Run("wants a header at times", func(t *testing.T) {
		t.Parallel()
		p, server := open(t, kimisim.Options{Rollout: 1})
		_, err := p.Upload(t.Context(), upload("a.txt", "file-extract", "text"))
		if providers.KindOf(err) != providers.KindTransient || server.Uploads() > 0 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("fails later", func(t *testing.T) {
		t.Parallel()
		p, _ := open(t, kimisim.Options{Polls: 1, ParseFails: true})
		f, err := p.Upload(t.Context(), upload("a.txt", "file-extract", "text"))
		if err != nil || f.Status != providers.StatusProcessing {
			t.Fatalf("uploaded: %+v, %v", f, err)
		}
		for range 2 {
			if f, err = p.Poll(t.Context(), f.ID); err != nil {
				t.Fatal(err)
			}
		}
		if f.Status != providers.StatusFailed || !strings.Contains(f.Detail, "没有解析出内容") || f.Code != providers.CodeNoText {
			t.Errorf("polled: %+v", f)
		}
	})
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]providers.Status{
		"ok": providers.StatusReady, "ready": providers.StatusReady, "processed": providers.StatusReady, "success": providers.StatusReady,
		"error": providers.StatusFailed, "failed": providers.StatusFailed,
		"created": providers.StatusProcessing, "parsing": providers.StatusProcessing,
		"OK": providers.StatusReady, "Ready": providers.StatusReady, "Failed": providers.StatusFailed, "ERROR": providers.StatusFailed,
	} {
		p, _ := open(t, kimisim.Options{Status: word})
		f, err := p.Upload(t.Context(), upload("a.txt", "file-extract", "text"))
		if err != nil || f.Status != want {
			t.Errorf("%s: %+v, %v; want %s", word, f, err, want)
		}
	}
}

func TestDescription(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ baseURL, host string }{{"", "api.moonshot.cn"}, {kimi.GlobalURL, "api.moonshot.ai"}} {
		p, err := kimi.Open(providers.Settings{APIKey: key, BaseURL: test.baseURL})
		if err != nil {
			t.Fatal(err)
		}
		d := p.Describe()
		if d.Provider != "kimi" || d.Host != test.host || d.MaxFiles != 1000 || d.MaxBytes != 10_000_000_000 {
			t.Errorf("got %+v", d)
		}
		for _, check := range []struct {
			purpose, mediaType, extension string
			size                          int64
			code                          string
		}{
			{"", "application/pdf", ".pdf", 100 << 20, ""},
			{"", "application/pdf", ".pdf", 100<<20 + 1, "file_too_large"},
			{"", "application/pdf", ".pdf", 0, "empty_file"},
			{"", "image/png", ".png", 1, ""},
			{"", "image/svg+xml", ".svg", 1, "unsupported_extension"},
			{"", "video/mp4", ".mp4", 1, ""},
			{"", "application/x-ndjson", ".jsonl", 1, ""},
			{"file-extract", "image/png", ".png", 1, "unsupported_extension"},
			{"lambda", "image/png", ".png", 1, "unknown_purpose"},
		} {
			purpose, err := d.Purpose(check.purpose, check.mediaType)
			if err == nil {
				err = d.Check(purpose, check.extension, check.size)
			}
			code := ""
			if e, ok := errors.AsType[*providers.Error](err); ok {
				code = e.Code
			}
			if code != check.code {
				t.Errorf("%+v: got %v", check, err)
			}
		}
	}
	if p, err := kimi.Open(providers.Settings{}); err == nil || p != nil || !strings.Contains(err.Error(), "CAS_KIMI_API_KEY") {
		t.Errorf("without a key: %v, %v", p, err)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	p := at(t, "")
	m := providers.Material{FileID: "file_1", Text: "a \"text\"\n<b>", Name: "re\"port>\n.pdf", Digest: cas.DigestOf([]byte("bytes"))}
	id := m.Digest.String()[len("sha256:"):][:16]
	asText := `text text file-extract {"role":"system","content":"a \"text\"\n<b>"}` +
		`text_part text file-extract {"type":"text","text":"<file name=\"re&#34;port&gt; .pdf\" id=\"` + id + `\">\na \"text\"\n<b>\n</file id=\"` + id + `\">"}`
	for _, test := range []struct{ mediaType, extension, want string }{
		{"image/png", ".png", `image_url copy image {"type":"image_url","image_url":{"url":"ms://file_1"}}`},
		{"image/png", "", `image_url copy image {"type":"image_url","image_url":{"url":"ms://file_1"}}`},
		{"application/octet-stream", ".webp", `image_url copy image {"type":"image_url","image_url":{"url":"ms://file_1"}}`},
		{"video/mp4", ".mp4", `video_url copy video {"type":"video_url","video_url":{"url":"ms://file_1"}}`},
		{"application/pdf", ".pdf", asText},
		{"video/mp2t", ".ts", asText},
		{"application/jsonl", ".jsonl", `input_file_id copy batch "file_1"` + asText},
		{"text/plain", ".rs", asText},
		{"text/plain", ".exe", ""},
		{"application/pdf", ".v2", asText},
		{"image/svg+xml", ".svg", asText},
		{"application/zip", ".zip", ""},
	} {
		got := ""
		for _, kind := range p.References(test.mediaType, test.extension) {
			value, err := p.Reference(kind, m)
			if err != nil {
				t.Fatal(err)
			}
			got += kind.Name + " " + string(kind.Needs) + " " + kind.Purpose + " " + string(value)
			if _, err := p.Reference(kind, providers.Material{URL: "https://h.example/"}); providers.KindOf(err) != providers.KindPermanent {
				t.Errorf("%s without material: %v", kind.Name, err)
			}
		}
		if got != test.want {
			t.Errorf("%s %s:\n got %s\nwant %s", test.mediaType, test.extension, got, test.want)
		}
	}
}

// TestNoVersionHeader: with it Kimi's answers have other shapes.
func TestNoVersionHeader(t *testing.T) {
	t.Parallel()
	headers := make(chan http.Header, 1)
	p := at(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		io.WriteString(w, `{"deleted":true,"id":"f","object":"file"}`)
	})))
	if err := p.Delete(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}
	if got := <-headers; got.Get("Kimi-Api-Version") != "" {
		t.Errorf("the headers are %v", got)
	}
}

// TestWordsOfAFullAccount: the messages of a full account ask for deletes, and have a type
// or not.
func TestWordsOfAFullAccount(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"error":{"message":"The size of files you have uploaded exceeded the max file size, please delete previous uploaded files","type":"invalid_request_error"}}`,
		`{"error":{"message":"The size of files you have uploaded exceeded the max file size, please delete previous uploaded files","type":"Invalid_Request_Error"}}`,
		`{"error":{"message":"The size of files you have uploaded exceeded the max file size, please delete previous uploaded files"}}`,
		`{"error":{"message":"Something is full, please delete previous uploaded files.","type":"invalid_request_error"}}`,
		`{"error":{"message":"The number of files you have uploaded exceeded the max file count 1000, please delete previous uploaded files","type":"invalid_request_error"}}`,
	} {
		for _, status := range []int{400, 200} {
			if status == 200 && !strings.Contains(body, `"type"`) {
				continue // says nothing of the kind
			}
			p := at(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(status)
				io.WriteString(w, body)
			})))
			_, err := p.Upload(t.Context(), upload("a.txt", "file-extract", "text"))
			if e, ok := errors.AsType[*providers.Error](err); !ok || e.Kind != providers.KindQuota || !e.TooMany {
				t.Errorf("%d %s: %+v", status, body, err)
			}
		}
	}
}
