package openaisim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"casgate/providers/simulator"
	"casgate/providers/simulator/openaisim"
)

func request(t *testing.T, s http.Handler, method, path, contentType string, body io.Reader) (*httptest.ResponseRecorder, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "/v1/files"+path, body)
	r.Header.Set("Authorization", "Bearer sk-0123456789")
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get(simulator.Header) != simulator.HeaderValue {
		t.Errorf("%s %s: headers %v", method, path, w.Header())
	}
	var value map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		value = nil // a file's content
	}
	return w, value
}

// upload sends a form with further fields, "name=value".
func upload(t *testing.T, s http.Handler, purpose, content string, fields ...string) (int, map[string]any) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, field := range append([]string{"purpose=" + purpose}, fields...) {
		name, value, _ := strings.Cut(field, "=")
		_ = w.WriteField(name, value)
	}
	part, _ := w.CreateFormFile("file", "a.txt")
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	answer, value := request(t, s, http.MethodPost, "", w.FormDataContentType(), &b)
	return answer.Code, value
}

func TestFileObject(t *testing.T) {
	t.Parallel()
	now := time.Unix(1750000000, 0)
	s := openaisim.New(openaisim.Options{Now: func() time.Time { return now }})
	status, got := upload(t, s, "user_data", "hello", "expires_after[anchor]=created_at", "expires_after[seconds]=3600")
	want := map[string]any{
		"id": got["id"], "object": "file", "bytes": 5.0, "created_at": 1750000000.0, "expires_at": 1750003600.0,
		"filename": "a.txt", "purpose": "user_data", "status": "processed",
	}
	if status != 200 || fmt.Sprint(got) != fmt.Sprint(want) || !strings.HasPrefix(got["id"].(string), "file-") {
		t.Errorf("%d %v; want %v", status, got, want)
	}
	path := "/" + got["id"].(string)
	if w, _ := request(t, s, http.MethodGet, path+"/content", "", nil); w.Body.String() != "hello" {
		t.Errorf("content: %q", w.Body)
	}
	if w, got := request(t, s, http.MethodDelete, path, "", nil); w.Code != 200 || got["deleted"] != true {
		t.Errorf("delete: %d %v", w.Code, got)
	}
	for _, test := range []struct{ method, path string }{{http.MethodGet, path}, {http.MethodDelete, path}, {http.MethodGet, path + "/content"}, {http.MethodPut, ""}} {
		w, got := request(t, s, test.method, test.path, "", nil)
		e, _ := got["error"].(map[string]any)
		if _, hasParam := e["param"]; w.Code != 404 || e["type"] != "invalid_request_error" || !hasParam {
			t.Errorf("%s %s: %d %v", test.method, test.path, w.Code, got)
		}
	}
}

func TestVariants(t *testing.T) {
	t.Parallel()
	s := openaisim.New(openaisim.Options{NoStatus: true, IDPrefix: "file-api-", Purposes: []string{"ocr"}, NoExpiry: true})
	status, got := upload(t, s, "ocr", "x", "expires_after[seconds]=nonsense")
	if _, has := got["status"]; status != 200 || has || !strings.HasPrefix(got["id"].(string), "file-api-") || got["expires_at"] != nil {
		t.Errorf("%d %v", status, got)
	}
	if status, _ := upload(t, s, "user_data", "x"); status != 400 {
		t.Errorf("a purpose that isn't there: %d", status)
	}
	for _, fails := range []bool{false, true} {
		s = openaisim.New(openaisim.Options{Polls: 1, Fails: fails, Status: "ok"})
		_, got = upload(t, s, "user_data", "x")
		statuses := fmt.Sprint(got["status"])
		for range 2 {
			_, got := request(t, s, http.MethodGet, "/"+got["id"].(string), "", nil)
			statuses += fmt.Sprint(" ", got["status"])
		}
		if want := map[bool]string{false: "uploaded uploaded ok", true: "uploaded uploaded error"}[fails]; statuses != want {
			t.Errorf("got %s; want %s", statuses, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options openaisim.Options
		content string
		fields  []string
		status  int
		message string
	}{
		{"empty", openaisim.Options{}, "", nil, 400, "empty"},
		{"large", openaisim.Options{MaxFileSize: 1}, "xx", nil, 413, "size"},
		{"expiry too short", openaisim.Options{}, "x", []string{"expires_after[anchor]=created_at", "expires_after[seconds]=3599"}, 400, "3600"},
		{"expiry from nowhere", openaisim.Options{}, "x", []string{"expires_after[seconds]=3600"}, 400, "anchor"},
		{"bytes", openaisim.Options{MaxBytes: 1}, "xx", nil, 400, "storage quota"},
		{"key", openaisim.Options{Key: "sk-9876543210"}, "x", nil, 401, "sk-0****6789"},
	} {
		s := openaisim.New(test.options)
		status, answer := upload(t, s, "user_data", test.content, test.fields...)
		e, _ := answer["error"].(map[string]any)
		if message, _ := e["message"].(string); status != test.status || !strings.Contains(message, test.message) {
			t.Errorf("%s: %d %v", test.name, status, answer)
		}
	}
	s := openaisim.New(openaisim.Options{MaxFiles: 1})
	upload(t, s, "user_data", "x")
	if status, answer := upload(t, s, "user_data", "x"); status != 400 || answer["error"].(map[string]any)["code"] != "quotaExceeded" {
		t.Errorf("too many: %d %v", status, answer)
	}
	s = openaisim.New(openaisim.Options{PerMinute: 1})
	upload(t, s, "user_data", "x")
	if w, _ := request(t, s, http.MethodGet, "", "", nil); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("too often: %d %v", w.Code, w.Header())
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options openaisim.Options
		queries []string
		want    []string
	}{
		{"all", openaisim.Options{}, []string{""}, []string{"4 3 2 1 0 false"}},
		{"after", openaisim.Options{}, []string{"?limit=2", "?limit=2&after=3", "?limit=2&after=1"}, []string{"4 3 true", "2 1 true", "0 false"}},
		{"ascending", openaisim.Options{PageSize: 3}, []string{"?order=asc", "?order=asc&after=2"}, []string{"0 1 2 true", "3 4 false"}},
		{"without has_more", openaisim.Options{PageSize: 4, NoHasMore: true}, []string{"", "?after=1", "?after=0"}, []string{"4 3 2 1 <nil>", "0 <nil>", "<nil>"}},
		{"by purpose", openaisim.Options{}, []string{"?purpose=odd", "?purpose=none"}, []string{"3 1 false", "false"}},
		{"numbered", openaisim.Options{NumberedPages: true}, []string{"?page=0&page_size=2", "?page=2&page_size=2", "?page=3&page_size=2"}, []string{"4 3 <nil> 5", "0 <nil> 5", "<nil> 5"}},
		{"wrong limit", openaisim.Options{}, []string{"?limit=0", "?limit=10001"}, []string{"400", "400"}},
		{"wrong page", openaisim.Options{NumberedPages: true}, []string{"?page=-1", "?page_size=x"}, []string{"400", "400"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := openaisim.New(test.options)
			for i := range 5 {
				s.Put(simulator.RemoteFile{ID: fmt.Sprint(i), Name: "n", Purpose: []string{"even", "odd"}[i%2]})
			}
			for i, query := range test.queries {
				w, page := request(t, s, http.MethodGet, query, "", nil)
				var words []string
				if w.Code != 200 {
					words = append(words, fmt.Sprint(w.Code))
				} else {
					for _, f := range page["data"].([]any) {
						words = append(words, f.(map[string]any)["id"].(string))
					}
					words = append(words, fmt.Sprint(page["has_more"]))
				}
				if total := page["total"]; total != nil {
					words = append(words, fmt.Sprint(total))
				}
				if got := strings.Join(words, " "); got != test.want[i] {
					t.Errorf("%s: got %s; want %s", query, got, test.want[i])
				}
			}
		})
	}
}
