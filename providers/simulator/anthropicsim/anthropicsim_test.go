package anthropicsim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"casgate/providers/simulator"
	"casgate/providers/simulator/anthropicsim"
)

func request(t *testing.T, s http.Handler, method, path, contentType string, body io.Reader) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "/v1/files"+path, body)
	r.Header.Set("X-Api-Key", "sk-ant-1")
	r.Header.Set("Anthropic-Version", "2023-06-01")
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get(simulator.Header) != simulator.HeaderValue || w.Header().Get("Request-Id") == "" {
		t.Errorf("%s %s: headers %v", method, path, w.Header())
	}
	var value map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		value = nil // a file's content
	}
	return w, value
}

// upload sends a form with a file and further fields, "name=value".
func upload(t *testing.T, s http.Handler, name, content string, fields ...string) (int, map[string]any) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		_ = w.WriteField(name, value)
	}
	part, _ := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", name)}, "Content-Type": {"application/pdf"},
	})
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	answer, value := request(t, s, http.MethodPost, "", w.FormDataContentType(), &b)
	return answer.Code, value
}

func TestFileObject(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	s := anthropicsim.New(anthropicsim.Options{Now: func() time.Time { return now }})
	status, got := upload(t, s, "a.pdf", "%PDF", "expires_in_seconds=60")
	want := map[string]any{
		"id": got["id"], "type": "file", "filename": "a.pdf", "mime_type": "application/pdf", "size_bytes": 4.0,
		"created_at": "2026-09-01T08:00:00Z", "downloadable": false, "expires_at": "2026-09-01T08:01:00Z",
	}
	id, _ := got["id"].(string)
	if status != 200 || fmt.Sprint(got) != fmt.Sprint(want) || !strings.HasPrefix(id, "file_011C") {
		t.Fatalf("%d %v; want %v", status, got, want)
	}
	if w, got := request(t, s, http.MethodGet, "/"+id+"/content", "", nil); w.Code != 400 || fmt.Sprint(got["type"]) != "error" {
		t.Errorf("the content of an uploaded file: %d %v", w.Code, got)
	}
	if w, got := request(t, s, http.MethodDelete, "/"+id, "", nil); w.Code != 200 || fmt.Sprint(got) != fmt.Sprint(map[string]any{"id": id, "type": "file_deleted"}) {
		t.Errorf("delete: %d %v", w.Code, got)
	}
	for _, test := range []struct{ method, path string }{{http.MethodGet, "/" + id}, {http.MethodDelete, "/" + id}, {http.MethodGet, "/" + id + "/content"}, {http.MethodPut, ""}} {
		w, got := request(t, s, test.method, test.path, "", nil)
		e, _ := got["error"].(map[string]any)
		if w.Code != 404 || got["type"] != "error" || e["type"] != "not_found_error" || got["request_id"] == "" {
			t.Errorf("%s %s: %d %v", test.method, test.path, w.Code, got)
		}
	}
	s.Put(simulator.RemoteFile{ID: "made", Name: "plot.png", Head: []byte("png"), Generated: true})
	if w, _ := request(t, s, http.MethodGet, "/made/content", "", nil); w.Body.String() != "png" {
		t.Errorf("the content of a generated file: %q", w.Body)
	}
	now = now.Add(time.Minute)
	upload(t, s, "b.pdf", "%PDF", "expires_in_seconds=60")
	now = now.Add(time.Minute)
	if files := s.Files(); len(files) != 1 {
		t.Errorf("after its time: %+v", files)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		test    string
		options anthropicsim.Options
		name    string
		content string
		field   string
		status  int
		kind    string
	}{
		{"empty", anthropicsim.Options{}, "a", "", "", 400, "invalid_request_error"},
		{"large", anthropicsim.Options{MaxFileSize: 1}, "a", "xx", "", 413, "request_too_large"},
		{"full", anthropicsim.Options{MaxBytes: 1}, "a", "xx", "", 403, "permission_error"},
		{"purpose", anthropicsim.Options{}, "a", "x", "purpose=user_data", 400, "invalid_request_error"},
		{"expiry", anthropicsim.Options{}, "a", "x", "expires_in_seconds=0", 400, "invalid_request_error"},
		{"question mark", anthropicsim.Options{}, "a?", "x", "", 400, "invalid_request_error"},
		{"tab", anthropicsim.Options{}, "a\tb", "x", "", 400, "invalid_request_error"},
		{"long name", anthropicsim.Options{}, strings.Repeat("长", 256), "x", "", 400, "invalid_request_error"},
		{"longest name", anthropicsim.Options{}, strings.Repeat("长", 255), "x", "", 200, ""},
		{"key", anthropicsim.Options{Keys: []string{"sk-ant-2"}}, "a", "x", "", 401, "authentication_error"},
		{"one of two keys", anthropicsim.Options{Keys: []string{"sk-ant-2", "sk-ant-1"}}, "a", "x", "", 200, ""},
	} {
		var fields []string
		if test.field != "" {
			fields = []string{test.field}
		}
		status, answer := upload(t, anthropicsim.New(test.options), test.name, test.content, fields...)
		e, _ := answer["error"].(map[string]any)
		if kind, _ := e["type"].(string); status != test.status || kind != test.kind {
			t.Errorf("%s: %d %v", test.test, status, answer)
		}
	}
	s := anthropicsim.New(anthropicsim.Options{PerMinute: 1})
	upload(t, s, "a", "x")
	if w, _ := request(t, s, http.MethodGet, "", "", nil); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("too often: %d %v", w.Code, w.Header())
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := anthropicsim.New(anthropicsim.Options{})
	if _, got := request(t, s, http.MethodGet, "", "", nil); fmt.Sprint(got) != "map[data:[] first_id:<nil> has_more:false last_id:<nil>]" {
		t.Errorf("an empty list: %v", got)
	}
	for i := range 25 {
		s.Put(simulator.RemoteFile{ID: fmt.Sprint(i), Name: "n"})
	}
	for _, test := range []struct{ query, want string }{
		{"", "20 24 5 true"},
		{"?limit=1000", "25 24 0 false"},
		{"?limit=2&after_id=3", "2 2 1 true"},
		{"?limit=3&after_id=3", "3 2 0 false"},
		{"?limit=2&before_id=3", "2 5 4 true"},
		{"?limit=10&before_id=20", "4 24 21 false"},
		{"?limit=0", "400"}, {"?limit=1001", "400"}, {"?after_id=1&before_id=2", "400"},
	} {
		w, page := request(t, s, http.MethodGet, test.query, "", nil)
		got := fmt.Sprint(w.Code)
		if w.Code == 200 {
			got = fmt.Sprint(len(page["data"].([]any)), " ", page["first_id"], " ", page["last_id"], " ", page["has_more"])
		}
		if got != test.want {
			t.Errorf("%q: %s; want %s", test.query, got, test.want)
		}
	}
}
