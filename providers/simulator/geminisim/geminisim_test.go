package geminisim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"casgate/providers/simulator"
	"casgate/providers/simulator/geminisim"
)

func request(t *testing.T, s *geminisim.Server, method, target, body string, headers ...string) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if !strings.Contains(target, "upload_id") {
		r.Header.Set("X-Goog-Api-Key", "AIzaTest")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var value map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		t.Fatalf("%s %s: %q: %v", method, target, w.Body, err)
	}
	return w, value
}

func start(t *testing.T, s *geminisim.Server, file string, size int) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	return request(t, s, http.MethodPost, "/upload/v1beta/files", `{"file":`+file+`}`, "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start",
		"X-Goog-Upload-Header-Content-Length", strconv.Itoa(size), "X-Goog-Upload-Header-Content-Type", "text/plain")
}

func upload(t *testing.T, s *geminisim.Server, file, content string) (int, map[string]any) {
	t.Helper()
	w, value := start(t, s, file, len(content))
	if w.Code != http.StatusOK {
		return w.Code, value
	}
	w, value = request(t, s, http.MethodPost, w.Header().Get("X-Goog-Upload-Url"), content, "X-Goog-Upload-Offset", "0", "X-Goog-Upload-Command", "upload, finalize")
	return w.Code, value
}

func TestFileObject(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)
	s := geminisim.New(geminisim.Options{Now: func() time.Time { return now }, Hash: geminisim.HashMissing})
	status, answer := upload(t, s, `{"name":"files/abc","display_name":"年报.txt"}`, "text")
	want := map[string]any{
		"name": "files/abc", "displayName": "年报.txt", "mimeType": "text/plain", "sizeBytes": "4", "createTime": "2026-09-01T08:00:00Z",
		"updateTime": "2026-09-01T08:00:00Z", "expirationTime": "2026-09-03T08:00:00Z", "state": "ACTIVE", "source": "UPLOADED",
		"uri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
	}
	if status != 200 || fmt.Sprint(answer["file"]) != fmt.Sprint(want) {
		t.Fatalf("%d %v; want %v", status, answer, want)
	}
	if _, got := request(t, s, http.MethodGet, "/v1beta/files/abc", ""); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("looked up: %v", got)
	}
	if status, got := upload(t, s, `{"name":"files/abc"}`, "text"); status != 409 {
		t.Errorf("the name is taken: %d %v", status, got)
	}
	if w, got := request(t, s, http.MethodDelete, "/v1beta/files/abc", ""); w.Code != 200 || len(got) > 0 {
		t.Errorf("delete: %d %v", w.Code, got)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		w, got := request(t, s, method, "/v1beta/files/abc", "")
		e, _ := got["error"].(map[string]any)
		if w.Code != 403 || e["status"] != "PERMISSION_DENIED" || e["message"] != "You do not have permission to access the File abc or it may not exist." {
			t.Errorf("%s: %d %v", method, w.Code, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		test    string
		options geminisim.Options
		file    string
		content string
		status  int
	}{
		{"empty", geminisim.Options{}, `{}`, "", 400},
		{"large", geminisim.Options{MaxFileSize: 1}, `{}`, "xx", 400},
		{"full", geminisim.Options{MaxBytes: 1}, `{}`, "xx", 429},
		{"upper case", geminisim.Options{}, `{"name":"files/ABC"}`, "x", 400},
		{"dash at the end", geminisim.Options{}, `{"name":"files/abc-"}`, "x", 400},
		{"41 characters", geminisim.Options{}, `{"name":"files/` + strings.Repeat("a", 41) + `"}`, "x", 400},
		{"40 characters", geminisim.Options{}, `{"name":"files/` + strings.Repeat("a", 40) + `"}`, "x", 200},
		{"long display name", geminisim.Options{}, `{"display_name":"` + strings.Repeat("长", 513) + `"}`, "x", 400},
		{"key", geminisim.Options{Key: "another"}, `{}`, "x", 400},
		{"unpaid", geminisim.Options{Unpaid: true}, `{}`, "x", 403},
	} {
		if status, answer := upload(t, geminisim.New(test.options), test.file, test.content); status != test.status {
			t.Errorf("%s: %d %v; want %d", test.test, status, answer, test.status)
		}
	}
	s := geminisim.New(geminisim.Options{})
	w, _ := start(t, s, `{}`, 5)
	target := w.Header().Get("X-Goog-Upload-Url")
	for _, headers := range [][]string{
		{"X-Goog-Upload-Offset", "0", "X-Goog-Upload-Command", "upload, finalize"}, // one byte too few
		{"X-Goog-Upload-Offset", "1", "X-Goog-Upload-Command", "upload, finalize"},
		{"X-Goog-Upload-Offset", "0", "X-Goog-Upload-Command", "upload"},
	} {
		if w, got := request(t, s, http.MethodPost, target, "four", headers...); w.Code != 400 || len(s.Files()) > 0 {
			t.Errorf("%v: %d %v", headers, w.Code, got)
		}
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	s := geminisim.New(geminisim.Options{})
	if _, got := request(t, s, http.MethodGet, "/v1beta/files", ""); len(got) > 0 {
		t.Errorf("an empty list: %v", got)
	}
	for i := range 12 {
		s.Put(simulator.RemoteFile{ID: fmt.Sprint(i), Name: "n"})
	}
	for _, test := range []struct{ query, want string }{
		{"", "10 2"}, {"?pageSize=100", "12 <nil>"}, {"?pageSize=3&pageToken=5", "3 2"}, {"?pageToken=2", "2 <nil>"}, {"?pageSize=0", "400"}, {"?pageSize=101", "400"},
	} {
		w, page := request(t, s, http.MethodGet, "/v1beta/files"+test.query, "")
		got := fmt.Sprint(w.Code)
		if w.Code == 200 {
			got = fmt.Sprint(len(page["files"].([]any)), " ", page["nextPageToken"])
		}
		if got != test.want {
			t.Errorf("%q: %s; want %s", test.query, got, test.want)
		}
	}
}
