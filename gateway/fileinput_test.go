package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/problem"
)

func TestWrongInputForFiles(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.MaxBlobSize = 12 << 20 })
		purpose, file := field("purpose", "user_data"), filePart("x.txt", "not to be kept")
		many := func(name string, n int) (all []formPart) {
			for i := range n {
				all = append(all, field(name, fmt.Sprintf("t%d", i)))
			}
			return append(all, purpose, file)
		}
		list := func(n int) string {
			return strings.TrimSuffix(strings.Repeat("tag,", n), ",")
		}
		big := strings.Repeat("x", 10<<20)
		for _, tt := range []struct {
			name   string
			parts  []formPart
			status int
			code   problem.Code
			param  string
			says   string
		}{
			{"no file", []formPart{purpose}, 400, "", "file", "no file part"},
			{"nothing", nil, 400, "", "file", ""},
			{"a file that is none", []formPart{purpose, field("file", "text")}, 400, "", "file", "filename"},
			{"two files", []formPart{file, purpose, filePart("y.txt", "y")}, 400, "", "file", "more than one"},
			{"no purpose", []formPart{file}, 400, "", "purpose", "user_data"},
			{"unknown purpose", []formPart{field("purpose", "dance"), file}, 400, "", "purpose", "dance"},
			{"unknown purpose behind the file", []formPart{file, field("purpose", "dance")}, 400, "", "purpose", "dance"},
			{"empty purpose", []formPart{file, field("purpose", "")}, 400, "", "purpose", "user_data"},
			{"two purposes", []formPart{purpose, file, purpose}, 400, "", "purpose", "more than once"},
			{"purpose of 100 KB", []formPart{field("purpose", big[:100_000]), file}, 400, "", "purpose", "65536"},
			{"2000 tags", many("tags", 2000), 400, "", "tags", "at most 64"},
			{"2000 tags in one field", []formPart{field("tags", list(2000)), purpose, file}, 400, "", "tags", "2000; at most 64"},
			{"2000 tags behind the file", []formPart{purpose, file, field("tags", list(2000))}, 400, "", "tags", "at most 64"},
			{"2000 unknown fields", many("unknown", 2000), 400, "", "", "1000 parts"},
			{"a tag twice", []formPart{field("tags", "a"), field("tags", "a"), purpose, file}, 400, "", "tags", "twice"},
			{"an empty tag", []formPart{field("tags", "a,,b"), purpose, file}, 400, "", "tags", ""},
			{"a long tag", []formPart{field("tags", strings.Repeat("t", 65)), purpose, file}, 400, "", "tags", "65 characters"},
			{"metadata of 10 MB", []formPart{field("metadata", `{"k":"`+big+`"}`), purpose, file}, 400, "", "metadata", "65536"},
			{"metadata of 10 MB behind the file", []formPart{purpose, file, field("metadata", `{"k":"`+big+`"}`)}, 400, "", "metadata", "65536"},
			{"metadata of 20 KB", []formPart{field("metadata", `{"k":"`+big[:20_000]+`"}`), purpose, file}, 400, "", "metadata", "16384"},
			{"metadata of 20 KB by keys", []formPart{field("metadata[k]", big[:10_000]), field("metadata[l]", big[:10_000]), purpose, file}, 400, "", "metadata", "16384"},
			{"an unknown field of 10 MB", []formPart{field("unknown", big), purpose, file}, 400, "", "", "1048576"},
			{"broken JSON", []formPart{field("metadata", `{"k":`), purpose, file}, 400, "", "metadata", "JSON object"},
			{"a list for metadata", []formPart{field("metadata", `[1]`), purpose, file}, 400, "", "metadata", "JSON object"},
			{"NUL in metadata", []formPart{field("metadata", `{"k":"\u0000"}`), purpose, file}, 400, "", "metadata", "NUL"},
			{"metadata in two ways", []formPart{field("metadata", `{}`), field("metadata[k]", "v"), purpose, file}, 400, "", "metadata", "one way"},
			{"nested metadata by keys", []formPart{field("metadata[k][l]", "v"), purpose, file}, 400, "", "metadata[k][l]", "nested"},
			{"a name of 4000 bytes", []formPart{filePart(strings.Repeat("n", 4000), "x"), purpose}, 400, "", "filename", "4000 characters"},
			{"a name of 100 KB", []formPart{filePart(strings.Repeat("n", 100_000), "x"), purpose}, 400, "", "", "65536"},
			{"a name of dots", []formPart{filePart("..", "x"), purpose}, 400, "", "filename", "folder"},
			{"a name not UTF-8", []formPart{filePart("\xff.txt", "x"), purpose}, 400, "", "filename", "UTF-8"},
			{"a long context", []formPart{field("context", strings.Repeat("c", 256)), purpose, file}, 400, "", "context", "256 characters"},
			{"expiry in the past", []formPart{field("expires_after[anchor]", "created_at"), field("expires_after[seconds]", "-3600"), purpose, file}, 400, "", "expires_after[seconds]", "3600 to"},
			{"expiry at once", []formPart{field("expires_after[seconds]", "0"), purpose, file}, 400, "", "expires_after[seconds]", "3600 to"},
			{"expiry in 30 years", []formPart{field("expires_after[seconds]", "1000000000"), purpose, file}, 400, "", "expires_after[seconds]", ""},
			{"expiry in words", []formPart{field("expires_after[seconds]", "soon"), purpose, file}, 400, "", "expires_after[seconds]", "soon"},
			{"unknown anchor", []formPart{field("expires_after[anchor]", "last_active_at"), purpose, file}, 400, "", "expires_after[anchor]", "created_at"},
			{"an anchor alone", []formPart{field("expires_after[anchor]", "created_at"), purpose, file}, 400, "", "expires_after[seconds]", "missing"},
			{"what goes without an expiry", []formPart{field("on_expiry", "everywhere"), purpose, file}, 400, "", "expires_after[seconds]", "missing"},
			{"an unknown thing to go", []formPart{field("on_expiry", "nowhere"), field("expires_after[seconds]", "3600"), purpose, file}, 400, "", "on_expiry", "nowhere"},
			{"a third kind of duplicates", []formPart{field("allow_duplicates", "maybe"), purpose, file}, 400, "", "allow_duplicates", "maybe"},
			{"unknown provider", []formPart{purpose, file, field("providers", "kimi,absent")}, 404, problem.ProviderNotFound, "providers", "nothing was stored"},
			{"too large", []formPart{purpose, filePart("x.txt", big+big[:2<<20+1])}, 413, problem.BlobTooLarge, "", ""},
		} {
			if tt.code == "" {
				tt.code = problem.InvalidRequest
			}
			t.Run(tt.name, func(t *testing.T) {
				body, mediaType := formOf(t, tt.parts...)
				for _, whole := range []io.Reader{body, chunked(body.Bytes())} {
					a, err := s.try("POST", "/v1/files", whole, "Content-Type", mediaType)
					if err != nil {
						t.Fatal(err)
					}
					e := a.wantFileError(t, tt.status, tt.code, tt.param)
					if !strings.Contains(e.Message, tt.says) || len(e.Message) > 500 {
						t.Errorf("the message doesn't say %q: %s", tt.says, e.Message)
					}
				}
			})
		}
		body, mediaType := formOf(t, purpose, file)
		form := body.Bytes()
		for name, send := range map[string]struct {
			body      io.Reader
			mediaType string
			status    int
			code      problem.Code
		}{
			"cut off":                  {bytes.NewReader(form[:len(form)-20]), mediaType, 400, problem.InvalidRequest},
			"cut off in the file":      {bytes.NewReader(form[:len(form)-80]), mediaType, 400, problem.InvalidRequest},
			"another boundary":         {bytes.NewReader(form), "multipart/form-data; boundary=xyz", 400, problem.InvalidRequest},
			"no boundary":              {bytes.NewReader(form), "multipart/form-data", 400, problem.InvalidRequest},
			"no form":                  {strings.NewReader(`{"purpose":"batch"}`), "text/json", 400, problem.InvalidRequest},
			"bytes alone":              {bytes.NewReader(form), "", 400, problem.InvalidRequest},
			"no end to the first line": {strings.NewReader(big), mediaType, 400, problem.InvalidRequest},
			"too large, declared":      {strings.NewReader(big + big), mediaType, 413, problem.BlobTooLarge},
		} {
			body := send.body
			if send.status != 413 && name == "no end to the first line" {
				body = chunked([]byte(big))
			}
			a := s.do("POST", "/v1/files", body, "Content-Type", send.mediaType)
			if e := a.wantFileError(t, send.status, send.code, ""); len(e.Message) > 500 {
				t.Errorf("%s: %s", name, e.Message)
			}
		}
		s.do("POST", "/v1/files", bytes.NewReader(form), "Content-Type", mediaType, "Content-Encoding", "gzip").wantFileError(t, 415, problem.UnsupportedMedia, "")
		s.do("POST", "/v1/files", bytes.NewReader(form), "Content-Type", mediaType, "Repr-Digest", reprDigest(cas.DigestOf([]byte("y")))).wantFileError(t, 422, problem.DigestMismatch, "")
		s.do("POST", "/v1/files", nil, "Content-Type", mediaType).wantFileError(t, 400, problem.InvalidRequest, "")
		if files, blobs := s.fileCount(), s.blobCount(); files != 0 || blobs != 0 {
			t.Errorf("%d files and %d blobs were kept though all were refused", files, blobs)
		}
		for _, metadata := range []string{`{"regex":"\\u0000"}`, `{"regex":"\u0001"}`} {
			if a := s.postForm("", filePart("regex.txt", metadata), purpose, field("metadata", metadata)); a.StatusCode != 200 {
				t.Errorf("metadata %s: %d %s", metadata, a.StatusCode, a.body)
			}
		}
		if a := s.postForm("", file, purpose); a.StatusCode != 200 {
			t.Errorf("the file refused in many forms is refused in the right one: %d %s", a.StatusCode, a.body)
		}
		wantNoPanic(t, s)
	})
}

// A body that breaks off, or is too slow, gets an error of the right shape.
func TestSlowAndBrokenForms(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.BodyWindow = time.Second })
	body, mediaType := formOf(t, field("purpose", "batch"), filePart("x.txt", "some text"))
	head := fmt.Sprintf("POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", s.token, mediaType, body.Len())
	for name, sent := range map[string]string{"in the fields": body.String()[:60], "in the file": body.String()[:body.Len()-70]} {
		w := s.dial(t)
		w.send("%s", head+sent)
		if e := w.answer("POST").wantFileError(t, 408, problem.RequestTimeout, ""); e.Type != "invalid_request_error" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if n := s.fileCount(); n != 0 {
		t.Errorf("%d files", n)
	}
	wantNoPanic(t, s)
}

func TestOverloadAndRatesOfFiles(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.MaxUploads = 1 })
	leave := s.occupy(t)
	if e := s.postForm("", filePart("x.txt", "x"), field("purpose", "batch")).wantFileError(t, 503, problem.Overloaded, ""); e.Type != "server_error" {
		t.Errorf("%+v", e)
	}
	leave()

	limited := start(t, s.parts, func(o *gatewayOptions, _ *cas.Options) { o.RequestsPerSecond = 0.01 })
	limited.do("GET", "/v1/files", nil)
	if e := limited.do("GET", "/v1/files", nil).wantFileError(t, 429, problem.TooManyRequests, ""); e.Type != "rate_limit_error" {
		t.Errorf("%+v", e)
	}
}

// occupy begins an upload, which takes a slot, and returns a function that ends it.
func (s *server) occupy(t *testing.T) (leave func()) {
	t.Helper()
	body, mediaType := formOf(t, field("purpose", "batch"), filePart("x.txt", "takes a place"))
	w := s.dial(t)
	w.send("POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", s.token, mediaType, body.Len())
	// The body is asked for once the upload has its place.
	if a := w.answer("POST"); a.StatusCode != 100 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	return func() {
		w.send("%s", body)
		if a := w.answer("POST"); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	}
}

func TestFilesWhileServersAreDown(t *testing.T) {
	t.Parallel()
	p := served(t)
	s := start(t, p, nil)
	made := s.newFile("x.txt", "some text")
	p.indexOutage.cut()
	for _, path := range []string{"/v1/files", "/v1/files/" + made.ID, "/v1/files/" + made.ID + "/content"} {
		if e := s.do("GET", path, nil).wantFileError(t, 503, problem.IndexUnavailable, ""); e.Type != "server_error" {
			t.Errorf("%s: %+v", path, e)
		}
	}
	s.postForm("", filePart("y.txt", "y"), field("purpose", "batch")).wantFileError(t, 503, problem.IndexUnavailable, "")
	p.indexOutage.end()
	p.storeOutage.cut()
	s.postForm("", filePart("z.txt", "z"), field("purpose", "batch")).wantFileError(t, 503, problem.StoreUnavailable, "")
	p.storeOutage.end()
	if a := s.postForm("", filePart("z.txt", "z"), field("purpose", "batch")); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

// endless yields a pattern of this many bytes, and takes no memory.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.left)]
	for i := range p {
		p[i] = byte(e.left >> (i % 8))
	}
	e.left -= int64(len(p))
	return len(p), nil
}

// Neither a large file nor a large refusal is held in memory. It isn't parallel: it
// measures the allocations of the whole process.
func TestMemoryOfForms(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	const boundary = "some-boundary"
	form := func(size int64, name, disposition string) io.Reader {
		return io.MultiReader(
			strings.NewReader("--"+boundary+"\r\nContent-Disposition: form-data; name=\""+name+"\""+disposition+"\r\n\r\n"), &endless{size},
			strings.NewReader("\r\n--"+boundary+"\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--"+boundary+"--\r\n"))
	}
	for _, tt := range []struct {
		name   string
		body   io.Reader
		status int
		most   uint64 // bytes allocated
	}{
		{"warm up", form(2<<20, "file", `; filename="x.bin"`), 200, 1 << 30},
		{"a file of 100 MB", form(100<<20, "file", `; filename="x.bin"`), 200, 4 << 20},
		{"a file of 100 MB again", form(100<<20, "file", `; filename="x.bin"`), 200, 4 << 20},
		{"metadata of 100 MB", form(100<<20, "metadata", ""), 400, 4 << 20},
		{"an unknown field of 100 MB", form(100<<20, "unknown", ""), 400, 4 << 20},
		{"a header of 100 MB", form(100<<20, "x", "\r\nX-Long: "), 400, 4 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a := s.do("POST", "/v1/files", tt.body, "Content-Type", "multipart/form-data; boundary="+boundary)
		runtime.ReadMemStats(&after)
		if a.StatusCode != tt.status {
			t.Errorf("%s: %d %s", tt.name, a.StatusCode, a.body)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > tt.most {
			t.Errorf("%s: %d bytes were allocated", tt.name, took)
		}
	}
}
