package glmsim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/providers/simulator"
	"casgate/providers/simulator/glmsim"
)

const key = "id123.secret456"

// request sends one to a simulator, without a network between.
func request(t *testing.T, s http.Handler, method, path, contentType string, body io.Reader, token string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, glmsim.Prefix+"/files"+path, body)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Header().Get(simulator.Header) != simulator.HeaderValue || w.Header().Get("X-Log-Id") == "" {
		t.Errorf("%s %s: headers %v", method, path, w.Header())
	}
	var value map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		t.Errorf("%s %s: %s is no JSON object", method, path, w.Body)
	}
	return w.Code, value
}

func post(t *testing.T, s http.Handler, path, name, content string, fields map[string]string) (int, map[string]any) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		_ = w.WriteField(name, value)
	}
	if name != "" {
		part, _ := w.CreateFormFile("file", name)
		_, _ = io.WriteString(part, content)
	}
	_ = w.Close()
	return request(t, s, http.MethodPost, path, w.FormDataContentType(), &b, key)
}

func upload(t *testing.T, s http.Handler, purpose, name, content string) (int, map[string]any) {
	t.Helper()
	return post(t, s, "", name, content, map[string]string{"purpose": purpose})
}

func get(t *testing.T, s http.Handler, path string) (int, map[string]any) {
	t.Helper()
	return request(t, s, http.MethodGet, path, "", nil, key)
}

// wantError checks an error's shape, and what is in it. The code is a string.
func wantError(t *testing.T, status int, answer map[string]any, wantStatus int, wantCode string) {
	t.Helper()
	e, _ := answer["error"].(map[string]any)
	if message, _ := e["message"].(string); status != wantStatus || e["code"] != wantCode || message == "" {
		t.Errorf("got %d %v; want %d %s", status, answer, wantStatus, wantCode)
	}
}

func TestFileObject(t *testing.T) {
	t.Parallel()
	now := time.Unix(1750681215, 0)
	s := glmsim.New(glmsim.Options{Key: key, Now: func() time.Time { return now }})
	for purpose, id := range map[string]string{"code-interpreter": "^file-[A-Z0-9]{24}$", "agent": "^agent-1750681215-[0-9a-f]{32}$"} {
		status, got := upload(t, s, purpose, "a.pdf", "%PDF")
		want := map[string]any{
			"id": got["id"], "object": "file", "bytes": 4.0, "created_at": 1750681215.0, "filename": "a.pdf", "purpose": purpose,
		}
		if status != 200 || fmt.Sprint(got) != fmt.Sprint(want) || !regexp.MustCompile(id).MatchString(got["id"].(string)) {
			t.Errorf("%d %v; want %v", status, got, want)
		}
		status, deleted := request(t, s, http.MethodDelete, "/"+got["id"].(string), "", nil, key)
		if want := (map[string]any{"id": got["id"], "object": "file", "deleted": true}); status != 200 || fmt.Sprint(deleted) != fmt.Sprint(want) {
			t.Errorf("%d %v", status, deleted)
		}
	}
	s = glmsim.New(glmsim.Options{FileName: true})
	_, got := upload(t, s, "batch", "a.jsonl", "{}")
	if name, there := got["filename"]; name != nil || !there || got["fileName"] != "a.jsonl" || !regexp.MustCompile(`^\d{8}_[0-9a-f-]{36}$`).MatchString(got["id"].(string)) {
		t.Errorf("as seen in 2024: %v", got)
	}
}

func TestNoLookup(t *testing.T) {
	t.Parallel()
	s := glmsim.New(glmsim.Options{})
	_, got := upload(t, s, "agent", "a.pdf", "%PDF")
	status, answer := get(t, s, "/"+got["id"].(string))
	wantError(t, status, answer, 404, "1222")
}

func TestMissingDelete(t *testing.T) {
	t.Parallel()
	for how, want := range map[glmsim.MissingDelete]string{
		glmsim.Missing404: "404 <nil>", glmsim.Missing400: "400 <nil>", glmsim.MissingUndeleted: "200 false", glmsim.MissingDeleted: "200 true",
	} {
		status, answer := request(t, glmsim.New(glmsim.Options{MissingDelete: how}), http.MethodDelete, "/nothing", "", nil, key)
		if got := fmt.Sprint(status, " ", answer["deleted"]); got != want {
			t.Errorf("%q: %s; want %s", how, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 5<<20+1)
	for _, test := range []struct {
		purpose, file, content string
		options                glmsim.Options
		status                 int
		code                   string
	}{
		{"nonsense", "a.txt", "x", glmsim.Options{}, 400, "1214"},
		{"agent", "", "", glmsim.Options{}, 400, "1213"},
		{"agent", "a.exe", "x", glmsim.Options{}, 400, "1214"},
		{"agent", "a.txt", "", glmsim.Options{}, 400, "1214"},
		{"agent", "a.PNG", large, glmsim.Options{}, 400, "1214"},
		{"agent", "a.pdf", large, glmsim.Options{}, 200, ""},
		{"agent", "a.png", large, glmsim.Options{International: true}, 200, ""},
		{"agent", "a.docx", "x", glmsim.Options{International: true}, 400, "1214"},
		{"agent", "a.ppt", "x", glmsim.Options{International: true}, 200, ""},
		{"agent", "a.ppt", "x", glmsim.Options{}, 400, "1214"},
		{"voice-clone-input", "a.mp3", "x", glmsim.Options{}, 200, ""},
		{"voice-clone-input", "a.pdf", "x", glmsim.Options{}, 400, "1214"},
		{"batch", "a.json", "{}", glmsim.Options{}, 400, "1214"},
		{"file-extract", "a.pdf", "x", glmsim.Options{}, 400, "1214"},
		{"file-extract", "a.pdf", "x", glmsim.Options{OldPurposes: true}, 200, ""},
		{"retrieval", "a.any", large, glmsim.Options{OldPurposes: true}, 400, "1214"},
		{"agent", "a.pdf", "x", glmsim.Options{NoPermission: true}, 434, "434"},
		{"agent", "a.pdf", "x", glmsim.Options{Key: "other.key"}, 401, "1000"},
		{"agent", "a.exe", "x", glmsim.Options{ErrorsIn200: true}, 200, "1214"},
	} {
		t.Run(fmt.Sprintf("%s %s %+v", test.purpose, test.file, test.options), func(t *testing.T) {
			t.Parallel()
			s := glmsim.New(test.options)
			status, answer := upload(t, s, test.purpose, test.file, test.content)
			if test.code != "" {
				wantError(t, status, answer, test.status, test.code)
			} else if status != 200 || answer["id"] == nil {
				t.Errorf("%d %v", status, answer)
			}
			if stored := len(s.Files()) == 1; stored != (test.code == "") {
				t.Errorf("stored: %t", stored)
			}
		})
	}
	status, answer := post(t, glmsim.New(glmsim.Options{}), "", "a.pdf", "x", nil)
	wantError(t, status, answer, 400, "1213")
	s := glmsim.New(glmsim.Options{})
	const head = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n"
	status, answer = request(t, s, http.MethodPost, "", "multipart/form-data; boundary=b",
		io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, 100<<20+1), strings.NewReader("\r\n--b--\r\n")), key)
	wantError(t, status, answer, 435, "435")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestFullPurpose(t *testing.T) {
	t.Parallel()
	s := glmsim.New(glmsim.Options{MaxFiles: 1})
	upload(t, s, "agent", "a.pdf", "x")
	status, answer := upload(t, s, "agent", "b.pdf", "x")
	wantError(t, status, answer, 400, "1210")
	if status, _ := upload(t, s, "batch", "a.jsonl", "{}"); status != 200 {
		t.Errorf("another purpose has room: %d", status)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := glmsim.New(glmsim.Options{})
	for i := range 250 {
		s.Put(simulator.RemoteFile{ID: fmt.Sprintf("%03d", i), Name: "n", Purpose: "agent"})
	}
	s.Put(simulator.RemoteFile{ID: "v", Name: "n", Purpose: "voice-clone-input"})
	for query, code := range map[string]string{
		"": "1213", "?purpose=": "1214", "?purpose=voice-clone-input": "1214", "?purpose=file-extract": "1214",
		"?purpose=agent&limit=101": "1214", "?purpose=agent&limit=0": "1214", "?purpose=agent&order=name": "1214",
	} {
		status, answer := get(t, s, query)
		wantError(t, status, answer, 400, code)
	}
	if _, answer := get(t, s, "?purpose=agent"); len(answer["data"].([]any)) != 20 || answer["has_more"] != true {
		t.Errorf("by default %d files, more: %v", len(answer["data"].([]any)), answer["has_more"])
	}
	var ids []string
	for after, more := "", true; more; {
		_, page := get(t, s, "?purpose=agent&limit=100&order=created_at&after="+after)
		for _, f := range page["data"].([]any) {
			after = f.(map[string]any)["id"].(string)
			ids = append(ids, after)
		}
		more = page["has_more"].(bool)
	}
	if len(ids) != 250 || !slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%d files: %v", len(ids), ids)
	}
}

func TestKeptFor180Days(t *testing.T) {
	t.Parallel()
	for international, kept := range map[bool]int{true: 0, false: 1} {
		now := time.Now()
		s := glmsim.New(glmsim.Options{International: international, Now: func() time.Time { return now }})
		upload(t, s, "agent", "a.pdf", "x")
		now = now.Add(180*24*time.Hour - time.Second)
		if len(s.Files()) != 1 {
			t.Error("gone before its time")
		}
		now = now.Add(time.Second)
		if len(s.Files()) != kept {
			t.Errorf("international %t: %d files; want %d", international, len(s.Files()), kept)
		}
	}
}

func TestContent(t *testing.T) {
	t.Parallel()
	s := glmsim.New(glmsim.Options{OldPurposes: true, ErrorsIn200: true})
	content := func(purpose, name, text string) (int, map[string]any) {
		_, got := upload(t, s, purpose, name, text)
		return get(t, s, "/"+got["id"].(string)+"/content")
	}
	if status, got := content("batch", "a.jsonl", `{"custom_id":"1"}`); status != 200 || got["custom_id"] != "1" {
		t.Errorf("%d %v", status, got)
	}
	if status, got := content("file-extract", "a.csv", "a,b"); status != 200 || got["content"] != "a,b" || got["filename"] != "a.csv" {
		t.Errorf("%d %v", status, got)
	}
	status, got := content("agent", "a.pdf", "x")
	wantError(t, status, got, 400, "1214") // also with ErrorsIn200
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	s := glmsim.New(glmsim.Options{PerMinute: 1})
	get(t, s, "?purpose=agent")
	status, answer := get(t, s, "?purpose=agent")
	wantError(t, status, answer, 429, "1302")
	if f := glmsim.RateLimited(3 * time.Second); f.RetryAfter != 3*time.Second || f.Status != 429 {
		t.Errorf("%+v", f)
	}
}

func TestCodingPlan(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, glmsim.CodingPrefix+"/files?purpose=agent", nil)
	r.Header.Set("Authorization", "Bearer "+key)
	if glmsim.New(glmsim.Options{}).ServeHTTP(w, r); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

func TestParser(t *testing.T) {
	t.Parallel()
	s := glmsim.New(glmsim.Options{ParserPolls: 1})
	status, created := post(t, s, "/parser/create", "a.txt", "text 年", map[string]string{"tool_type": "lite", "file_type": "TXT"})
	if status != 200 || created["success"] != true {
		t.Fatalf("%d %v", status, created)
	}
	path := "/parser/result/" + created["task_id"].(string)
	for _, want := range []string{"processing ", "succeeded text 年"} {
		if _, got := get(t, s, path+"/text"); fmt.Sprint(got["status"], " ", got["content"]) != want {
			t.Errorf("got %v; want %s", got, want)
		}
	}
	if _, got := get(t, s, path+"/download_link"); got["parsing_result_url"] == "" {
		t.Errorf("%v", got)
	}
	status, answer := get(t, s, "/parser/result/no-task/text")
	wantError(t, status, answer, 400, "1214")

	// Seen on the live service.
	status, answer = post(t, s, "/parser/sync", "a.pdf", "x", map[string]string{"tool_type": "prime-sync"})
	if status != 200 || answer["code"] != 500.0 || answer["msg"] == nil {
		t.Errorf("without file_type: %d %v", status, answer)
	}
	status, answer = post(t, s, "/parser/sync", "a.pdf", "x", map[string]string{"tool_type": "prime-sync", "file_type": "PDF"})
	if status != 200 || answer["status"] != "succeeded" {
		t.Errorf("%d %v", status, answer)
	}
	for tool, file := range map[string]string{"expert": "a.txt", "nonsense": "a.pdf", "prime": "a.mp3"} {
		status, answer = post(t, s, "/parser/create", file, "x", map[string]string{"tool_type": tool, "file_type": "PDF"})
		wantError(t, status, answer, 400, "1214")
	}
	if len(s.Files()) > 0 {
		t.Errorf("what is parsed isn't kept: %+v", s.Files())
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for _, row := range glmsim.Errors {
		if row.Op == "" || row.Status < 400 || row.Code == "" || row.Message == "" || len(row.Kinds) == 0 {
			t.Errorf("incomplete: %+v", row)
		}
	}
	if len(glmsim.Assumptions) == 0 {
		t.Error("no assumptions")
	}
}
