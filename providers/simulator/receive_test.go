package simulator_test

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"casgate/providers/simulator"
	"casgate/providers/simulator/openaisim"
)

func TestUploadsAreStreamed(t *testing.T) {
	s, c := start(t, openaisim.Options{})
	const size = 100 << 20
	contentType, body := form("\x00")
	b, _ := io.ReadAll(body)
	head, tail, _ := bytes.Cut(b, []byte{0})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	status, answer, err := c.do(t.Context(), http.MethodPost, c.url, contentType,
		io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros{}, size), bytes.NewReader(tail)))
	runtime.ReadMemStats(&after)
	if err != nil || status != 200 || answer["bytes"] != float64(size) {
		t.Fatalf("%d %v %v", status, answer, err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("an upload of 100 MiB allocated %d MiB", n>>20)
	}
	f := s.Files()[0]
	if f.Size != size || len(f.Head) != simulator.HeadSize || f.Whole() {
		t.Errorf("%d bytes, of which %d are kept", f.Size, len(f.Head))
	}
	if s.LastUpload().ContentLength != -1 {
		t.Errorf("a chunked body has length %d", s.LastUpload().ContentLength)
	}
	if status, _, _ := c.do(t.Context(), http.MethodGet, c.url+"/"+f.ID+"/content", "", nil); status != 500 {
		t.Errorf("the content of a file that isn't kept whole: %d", status)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func TestForms(t *testing.T) {
	t.Parallel()
	const file = "Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello"
	const purpose = "Content-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data"
	for _, test := range []struct {
		name   string
		parts  []string
		order  simulator.Order
		cutEnd bool
		status int
	}{
		{"purpose first", []string{purpose, file}, simulator.FieldsFirst, false, 200},
		{"file first", []string{file, purpose}, simulator.FileFirst, false, 200},
		{"file first, any order", []string{file, purpose}, simulator.AnyOrder, false, 200},
		{"file first, but it mustn't", []string{file, purpose}, simulator.FieldsFirst, false, 400},
		{"purpose first, but it mustn't", []string{purpose, file}, simulator.FileFirst, false, 400},
		{"no purpose", []string{file}, simulator.AnyOrder, false, 400},
		{"no file", []string{purpose}, simulator.AnyOrder, false, 400},
		{"two files", []string{purpose, file, file}, simulator.AnyOrder, false, 400},
		{"two purposes", []string{purpose, purpose, file}, simulator.AnyOrder, false, 400},
		{"no file name", []string{purpose, strings.Replace(file, "; filename=\"a.txt\"", "", 1)}, simulator.AnyOrder, false, 400},
		{"name in RFC 5987's way", []string{purpose, strings.Replace(file, "filename=\"a.txt\"", "filename*=utf-8''a.txt", 1)}, simulator.AnyOrder, false, 400},
		{"no disposition", []string{purpose, "Content-Type: text/plain\r\n\r\nhello"}, simulator.AnyOrder, false, 400},
		{"no end", []string{purpose, file}, simulator.AnyOrder, true, 400},
		{"endless field", []string{purpose + strings.Repeat("x", 100_000), file}, simulator.AnyOrder, false, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, c := start(t, openaisim.Options{Order: test.order})
			body := "--b\r\n" + strings.Join(test.parts, "\r\n--b\r\n") + "\r\n--b--\r\n"
			if test.cutEnd {
				body = strings.TrimSuffix(body, "--\r\n")
			}
			status, answer, err := c.do(t.Context(), http.MethodPost, c.url, "multipart/form-data; boundary=b", strings.NewReader(body))
			if err != nil || status != test.status {
				t.Errorf("%d %v %v; want %d", status, answer, err, test.status)
			}
			if stored := len(s.Files()); (stored == 1) != (test.status == 200) {
				t.Errorf("%d files", stored)
			}
		})
	}
	_, c := start(t, openaisim.Options{})
	if status, _, _ := c.do(t.Context(), http.MethodPost, c.url, "application/json", strings.NewReader("{}")); status != 400 {
		t.Errorf("no form at all: %d", status)
	}
}

// An upload that breaks off is no upload.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	s, c := start(t, openaisim.Options{})
	contentType, body := form(strings.Repeat("x", 100_000))
	request, err := http.NewRequest(http.MethodPost, c.url, io.LimitReader(body, 50_000))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer any")
	request.Header.Set("Content-Type", contentType)
	request.ContentLength = 100_300
	if response, err := c.http.Do(request); err == nil {
		response.Body.Close()
	}
	c.mustUpload()
	if len(s.Files()) != 1 || s.Uploads() != 1 {
		t.Errorf("%d files, %d uploads; want the whole one", len(s.Files()), s.Uploads())
	}
}
