package kimisim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/providers/simulator"
	"casgate/providers/simulator/kimisim"
)

// request sends one to a simulator, without a network between. Header lines are
// "name: value".
func request(t *testing.T, s http.Handler, method, path, contentType string, body io.Reader, header ...string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "/v1/files"+path, body)
	r.Header.Set("Authorization", "Bearer sk-x")
	r.Header.Set("Content-Type", contentType)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get(simulator.Header) != simulator.HeaderValue || w.Header().Get("Msh-Request-Id") == "" {
		t.Errorf("%s %s: headers %v", method, path, w.Header())
	}
	var value map[string]any
	if w.Code != http.StatusNoContent {
		if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
			t.Errorf("%s %s: %s is no JSON object", method, path, w.Body)
		}
	}
	return w.Code, value
}

func upload(t *testing.T, s http.Handler, purpose, name, content string, header ...string) (int, map[string]any) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	_ = w.WriteField("purpose", purpose)
	part, _ := w.CreateFormFile("file", name)
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	return request(t, s, http.MethodPost, "", w.FormDataContentType(), &b, header...)
}

func get(t *testing.T, s http.Handler, path string) (int, map[string]any) {
	t.Helper()
	return request(t, s, http.MethodGet, path, "", nil)
}

// wantError checks an error's shape, and what is in it.
func wantError(t *testing.T, status int, answer map[string]any, wantStatus int, wantType, wantMessage string) {
	t.Helper()
	e, _ := answer["error"].(map[string]any)
	message, _ := e["message"].(string)
	if status != wantStatus || e["type"] != wantType || !strings.Contains(message, wantMessage) {
		t.Errorf("got %d %v; want %d %s %q", status, answer, wantStatus, wantType, wantMessage)
	}
}

func TestFileObject(t *testing.T) {
	t.Parallel()
	now := time.Unix(1779720376, 0)
	s := kimisim.New(kimisim.Options{Now: func() time.Time { return now }})
	status, got := upload(t, s, "image", "real.png", "\x89PNG\r\n\x1a\n")
	id, _ := got["id"].(string)
	want := map[string]any{
		"id": id, "object": "file", "bytes": 8.0, "created_at": 1779720376.0, "filename": "real.png",
		"purpose": "image", "status": "ready", "status_details": "", "file_type": "image/png",
	}
	if status != 200 || !strings.HasPrefix(id, "file_") || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d %v; want %v", status, got, want)
	}
	if status, again := get(t, s, "/"+id); status != 200 || fmt.Sprint(again) != fmt.Sprint(want) {
		t.Errorf("looked up: %d %v", status, again)
	}
	status, deleted := request(t, s, http.MethodDelete, "/"+id, "", nil)
	if want := (map[string]any{"deleted": true, "id": id, "object": "file"}); status != 200 || fmt.Sprint(deleted) != fmt.Sprint(want) {
		t.Errorf("deleted: %d %v", status, deleted)
	}
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		status, answer := request(t, s, method, "/"+id, "", nil)
		wantError(t, status, answer, 404, "resource_not_found_error", "The requested resource was not found")
	}
}

func TestOlderShapes(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{LegacyIDs: true, KeepNames: true, Status: "ok"})
	for range 2 {
		_, got := upload(t, s, "file-extract", "a.txt", "text")
		if id := got["id"].(string); len(id) != 20 || got["filename"] != "a.txt" || got["status"] != "ok" {
			t.Errorf("got %v", got)
		}
	}
}

func TestRepeatedNames(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{})
	var names []string
	for _, name := range []string{"report.txt", "report.txt", "report.txt", "report (1).txt", "report.md", "archive.tar.go", "archive.tar.go"} {
		_, got := upload(t, s, "file-extract", name, "text")
		names = append(names, got["filename"].(string))
	}
	want := []string{"report.txt", "report (1).txt", "report (2).txt", "report (1) (1).txt", "report.md", "archive.tar.go", "archive.tar (1).go"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q; want %q", names, want)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, purpose, file, content string
		options                      kimisim.Options
		status                       int
		kind, message                string
	}{
		{"purpose", "assistants", "a.txt", "x", kimisim.Options{}, 400, "invalid_request_error",
			"Invalid purpose: assistants, only `file-extract`, `batch`, `batch_output`, `lambda`, `image` and `video` accepted"},
		{"empty", "file-extract", "a.txt", "", kimisim.Options{}, 400, "invalid_request_error", "File size is zero"},
		{"large", "file-extract", "a.txt", "12345", kimisim.Options{MaxFileSize: 4}, 400, "invalid_request_error", "max file size is 100MB"},
		{"type", "file-extract", "a.exe", "x", kimisim.Options{}, 400, "invalid_request_error", "不支持的文件类型"},
		{"image to be read", "file-extract", "a.png", "x", kimisim.Options{}, 400, "invalid_request_error", "不支持的文件类型"},
		{"image to be read, formerly", "file-extract", "a.png", "x", kimisim.Options{OldImages: true}, 200, "", ""},
		{"nothing to read", "file-extract", "a.txt", " \n\t", kimisim.Options{}, 400, "invalid_request_error", "没有解析出内容"},
		{"no document", "image", "a.pdf", "x", kimisim.Options{}, 400, "invalid_request_error", "不支持的文件类型"},
		{"no video", "video", "a.mp4", "xxxxxxxxxxxx", kimisim.Options{CheckVideo: true}, 500, "InternalServerError", ""},
		{"no video, unchecked", "video", "a.mp4", "xxxxxxxxxxxx", kimisim.Options{}, 200, "", ""},
		{"video", "video", "a.mp4", "\x00\x00\x00\x18ftypmp42", kimisim.Options{CheckVideo: true}, 200, "", ""},
		{"wrong key", "file-extract", "a.txt", "x", kimisim.Options{Key: "sk-y"}, 401, "incorrect_api_key_error", "Incorrect API key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := kimisim.New(test.options)
			status, answer := upload(t, s, test.purpose, test.file, test.content)
			if test.status == 200 {
				if status != 200 || len(s.Files()) != 1 {
					t.Errorf("%d %v", status, answer)
				}
				return
			}
			wantError(t, status, answer, test.status, test.kind, test.message)
			if len(s.Files()) > 0 || s.Uploads() > 0 {
				t.Errorf("refused, and stored: %+v", s.Files())
			}
		})
	}
	s := kimisim.New(kimisim.Options{})
	status, answer := request(t, s, http.MethodGet, "", "", nil, "Authorization: Basic eDp5")
	wantError(t, status, answer, 401, "invalid_authentication_error", "Invalid Authentication")
}

func TestFullAccount(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{MaxFiles: 2})
	upload(t, s, "file-extract", "a.txt", "x")
	_, second := upload(t, s, "file-extract", "b.txt", "x")
	status, answer := upload(t, s, "file-extract", "c.txt", "x")
	wantError(t, status, answer, 400, "invalid_request_error", "exceeded the max file count 2")
	s.Forget(second["id"].(string))
	if status, _ := upload(t, s, "file-extract", "c.txt", "x"); status != 200 {
		t.Errorf("with room again: %d", status)
	}

	s = kimisim.New(kimisim.Options{MaxBytes: 10})
	upload(t, s, "file-extract", "a.txt", "123456")
	status, answer = upload(t, s, "file-extract", "b.txt", "12345")
	wantError(t, status, answer, 400, "invalid_request_error", "exceeded the max file size, please delete")
	if status, _ := upload(t, s, "file-extract", "b.txt", "1234"); status != 200 {
		t.Errorf("up to the limit: %d", status)
	}
}

func TestUnfinishedFiles(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		s := kimisim.New(kimisim.Options{Polls: 2, ParseFails: fails})
		_, got := upload(t, s, "file-extract", "a.txt", "text")
		id := got["id"].(string)
		statuses := []any{got["status"]}
		if status, _ := get(t, s, "/"+id+"/content"); status != 404 {
			t.Errorf("the content of an unfinished file: %d", status)
		}
		for range 3 {
			_, got = get(t, s, "/"+id)
			statuses = append(statuses, got["status"])
		}
		end := "ready"
		if fails {
			end = "error"
		}
		if want := []any{"created", "created", "created", end}; !slices.Equal(statuses, want) {
			t.Errorf("got %v; want %v", statuses, want)
		}
		if status, _ := get(t, s, "/"+id+"/content"); (status == 200) == fails {
			t.Errorf("the content of a file that is %s: %d", end, status)
		}
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{})
	_, got := upload(t, s, "file-extract", "a.txt", "text 年")
	status, content := get(t, s, "/"+got["id"].(string)+"/content")
	want := map[string]any{"content": "text 年", "file_type": "text/plain", "filename": "a.txt", "title": "", "type": "file"}
	if status != 200 || fmt.Sprint(content) != fmt.Sprint(want) {
		t.Errorf("%d %v; want %v", status, content, want)
	}
	_, got = upload(t, s, "file-extract", "a.pdf", "%PDF\x00\xff")
	if _, content = get(t, s, "/"+got["id"].(string)+"/content"); !strings.Contains(content["content"].(string), "simulator") {
		t.Errorf("of what is no text: %v", content)
	}
	_, got = upload(t, s, "image", "a.png", "x")
	status, answer := get(t, s, "/"+got["id"].(string)+"/content")
	wantError(t, status, answer, 400, "invalid_request_error", "image")
	_, got = upload(t, s, "batch", "a.jsonl", `{"custom_id":"1"}`)
	if status, content = get(t, s, "/"+got["id"].(string)+"/content"); status != 200 || content["custom_id"] != "1" {
		t.Errorf("of a batch: %d %v", status, content)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{})
	if _, got := get(t, s, ""); fmt.Sprint(got) != fmt.Sprint(map[string]any{"object": "list", "data": []any{}, "first_id": "", "last_id": "", "has_more": false}) {
		t.Errorf("empty: %v", got)
	}
	for _, oldest := range []bool{false, true} {
		s := kimisim.New(kimisim.Options{PageSize: 2, OldestFirst: oldest})
		want := []string{"5", "4", "3", "2", "1"}
		for i := range 5 {
			s.Put(simulator.RemoteFile{ID: fmt.Sprint(i + 1), Name: "n", Purpose: "image"})
		}
		if oldest {
			slices.Reverse(want)
		}
		var ids []string
		for after, more := "", true; more; {
			_, page := get(t, s, "?purpose=ignored&after="+after)
			for _, f := range page["data"].([]any) {
				ids = append(ids, f.(map[string]any)["id"].(string))
			}
			after, more = page["last_id"].(string), page["has_more"].(bool)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("got %v; want %v", ids, want)
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := kimisim.New(kimisim.Options{PerMinute: 1, Now: func() time.Time { return now }})
	get(t, s, "")
	now = now.Add(20500 * time.Millisecond)
	status, answer := get(t, s, "")
	wantError(t, status, answer, 429, "rate_limit_reached_error", "max RPM: 1, please try again after 40 seconds")
}

func TestRollout(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{Rollout: 3})
	for i := range 6 {
		status, answer := get(t, s, "")
		if i%3 == 2 {
			wantError(t, status, answer, 400, "invalid_request_error", "missing required header Kimi-Api-Version")
		} else if status != 200 {
			t.Errorf("request %d: %d", i, status)
		}
	}
}

// The header that the adapter must not send changes all shapes.
func TestVersionHeader(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{})
	const header = "Kimi-Api-Version: 2026-09-01-beta"
	status, got := upload(t, s, "file-extract", "a.txt", "text", header)
	if status != 201 || got["size_bytes"] != 4.0 || got["extract_status"] != "ready" || got["bytes"] != nil {
		t.Errorf("%d %v", status, got)
	}
	if status, _ := request(t, s, http.MethodDelete, "/"+got["id"].(string), "", nil, header); status != 204 {
		t.Errorf("delete: %d", status)
	}
}

func TestUnknownPaths(t *testing.T) {
	t.Parallel()
	s := kimisim.New(kimisim.Options{})
	for _, method := range []string{http.MethodPut, http.MethodPatch} {
		if status, _ := request(t, s, method, "", "", nil); status != 404 {
			t.Errorf("%s: %d", method, status)
		}
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for _, row := range kimisim.Errors {
		if row.Op == "" || row.Status < 400 || row.Code == "" && row.Status != 429 || row.Message == "" || len(row.Kinds) == 0 {
			t.Errorf("incomplete: %+v", row)
		}
	}
	if len(kimisim.Assumptions) == 0 {
		t.Error("no assumptions")
	}
	if f := kimisim.RateLimited(5 * time.Second); f.Status != 429 || !strings.Contains(f.Message, "after 5 seconds") {
		t.Errorf("%+v", f)
	}
	if f := kimisim.RateLimited(0); strings.Contains(f.Message, "seconds") {
		t.Errorf("%+v", f)
	}
}
