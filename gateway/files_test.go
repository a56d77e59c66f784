package gateway_test

import (
	"encoding/json"
	"mime"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func TestFileFromMakingToDeletion(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		began := time.Now().Add(-time.Minute).Unix()
		a := s.postForm("",
			field("tags", "paper, draft"), field("tags[]", "2026"), filePart("Bericht (Ä) 报告.md", "# some text"),
			field("purpose", "user_data"), field("context", "talk-1"), field("metadata", `{"page": 7, "of": {"a": [true, null]}}`),
			field("expires_after[anchor]", "created_at"), field("expires_after[seconds]", "3600"),
			field("something_new", "that this gateway doesn't know"))
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		made := decode[api.File](t, a)
		d := cas.DigestOf([]byte("# some text"))
		sum := d.Hex()
		want := api.File{
			ID: made.ID, Object: "file", Bytes: 11, CreatedAt: made.CreatedAt, ExpiresAt: made.ExpiresAt, Filename: "Bericht (Ä) 报告.md",
			Purpose: "user_data", Status: "processed", SHA256: &sum, MediaType: "text/markdown; charset=utf-8", Context: "talk-1",
			Tags: made.Tags, Metadata: made.Metadata, URL: s.url + "/v1/blobs/" + d.String(),
		}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Error(diff)
		}
		if len(made.Tags) != 3 || !strings.Contains(strings.Join(made.Tags, " "), "draft") {
			t.Errorf("tags %q", made.Tags)
		}
		var metadata map[string]any
		if err := json.Unmarshal(made.Metadata, &metadata); err != nil || metadata["page"] != 7.0 {
			t.Errorf("metadata %s: %v", made.Metadata, err)
		}
		if !strings.HasPrefix(made.ID, "file-") || made.CreatedAt < began || made.ExpiresAt < made.CreatedAt+3590 || made.ExpiresAt > made.CreatedAt+3610 {
			t.Errorf("%+v", made)
		}
		if location := a.Header.Get("Location"); location != s.url+"/v1/files/"+made.ID {
			t.Errorf("Location %q", location)
		}

		got := s.do("GET", "/v1/files/"+made.ID, nil)
		if diff := cmp.Diff(made, decode[api.File](t, got)); got.StatusCode != 200 || diff != "" {
			t.Errorf("GET: %d %s", got.StatusCode, diff)
		}
		content := s.do("GET", "/v1/files/"+made.ID+"/content", nil)
		_, params, err := mime.ParseMediaType(content.Header.Get("Content-Disposition"))
		if content.StatusCode != 200 || string(content.body) != "# some text" || err != nil || params["filename"] != "Bericht (Ä) 报告.md" ||
			content.Header.Get("Cache-Control") != "private, no-cache, no-transform" || content.Header.Get("Content-Type") != "text/markdown; charset=utf-8" {
			t.Errorf("content: %d %v %q", content.StatusCode, content.Header, content.body)
		}
		part := s.do("GET", "/v1/files/"+made.ID+"/content", nil, "Range", "bytes=2-5")
		if part.StatusCode != 206 || string(part.body) != "some" {
			t.Errorf("a range: %d %q", part.StatusCode, part.body)
		}
		if current := s.do("GET", "/v1/files/"+made.ID+"/content", nil, "If-None-Match", content.Header.Get("ETag")); current.StatusCode != 304 {
			t.Errorf("If-None-Match: %d", current.StatusCode)
		}
		if head := s.do("HEAD", "/v1/files/"+made.ID+"/content", nil); head.StatusCode != 200 || head.ContentLength != 11 {
			t.Errorf("HEAD: %d %d", head.StatusCode, head.ContentLength)
		}
		s.do("GET", "/v1/files/"+made.ID+"/content", nil, "Range", "bytes=20-").wantFileError(t, 416, problem.RangeNotSatisfiable, "")

		meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil))
		if len(meta.Files) != 1 || meta.Files[0].ID != made.ID || meta.MoreFiles {
			t.Errorf("meta lists %+v", meta.Files)
		}
		s.do("DELETE", s.path(d), nil).wantProblem(t, 409, problem.BlobInUse)

		gone := s.do("DELETE", "/v1/files/"+made.ID, nil)
		if gone.StatusCode != 200 || strings.TrimSpace(string(gone.body)) != `{"id":"`+made.ID+`","object":"file","deleted":true}` {
			t.Errorf("DELETE: %d %s", gone.StatusCode, gone.body)
		}
		s.do("DELETE", "/v1/files/"+made.ID, nil).wantFileError(t, 404, problem.FileNotFound, "id")
		s.do("GET", "/v1/files/"+made.ID, nil).wantFileError(t, 404, problem.FileNotFound, "id")
		s.do("GET", "/v1/files/"+made.ID+"/content", nil).wantFileError(t, 404, problem.FileNotFound, "id")
		s.wantBlob([]byte("# some text"))
		if a := s.do("DELETE", s.path(d), nil); a.StatusCode != 202 {
			t.Errorf("the blob is still in use: %d %s", a.StatusCode, a.body)
		}
		wantNoPanic(t, s)
	})
}

// A file whose blob was deleted by force has no bytes, until they are uploaded again.
func TestForcedDeletionOfABlob(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		made := s.newFile("x.txt", "forced away")
		other := s.newFile("y.txt", "stays")
		wantStatus := func(want string) {
			t.Helper()
			if got := decode[api.File](t, s.do("GET", "/v1/files/"+made.ID, nil)); got.Status != want || (got.StatusDetails != "") != (want == api.FileFailed) {
				t.Errorf("%+v", got)
			}
			for _, got := range s.listFiles(nil).Data {
				if got.ID == made.ID && got.Status != want || got.ID == other.ID && got.Status != api.FileProcessed {
					t.Errorf("in the list: %+v", got)
				}
			}
		}
		wantStatus(api.FileProcessed)
		d := cas.DigestOf([]byte("forced away"))
		if a := s.do("DELETE", s.path(d)+"?force=true", nil); a.StatusCode != 202 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		s.do("GET", "/v1/files/"+made.ID+"/content", nil).wantFileError(t, 404, problem.BlobNotFound, "")
		wantStatus(api.FileFailed)
		s.put([]byte("forced away"))
		wantStatus(api.FileProcessed)
		if a := s.do("GET", "/v1/files/"+made.ID+"/content", nil); a.StatusCode != 200 || string(a.body) != "forced away" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
}

func TestDuplicates(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		first := s.newFile("first.txt", "the same bytes")
		second := s.newFile("second.txt", "the same bytes", field("allow_duplicates", "true"))
		if first.ID == second.ID || *first.SHA256 != *second.SHA256 {
			t.Errorf("%+v, %+v", first, second)
		}
		for name, a := range map[string]answer{
			"as a field":   s.postForm("", filePart("third.txt", "the same bytes"), field("purpose", "vision"), field("allow_duplicates", "false")),
			"in the query": s.postForm("?allow_duplicates=false&purpose=vision", filePart("third.txt", "the same bytes")),
		} {
			e := a.wantFileError(t, 409, problem.DuplicateFile, "")
			if e.File == nil || e.File.ID != first.ID || e.File.Filename != "first.txt" {
				t.Errorf("%s: %s", name, a.body)
			}
		}
		if a := s.postForm("", field("allow_duplicates", "false"), filePart("other.txt", "other bytes"), field("purpose", "vision")); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if n := s.fileCount(); n != 3 {
			t.Errorf("%d files", n)
		}
		if n := s.blobCount(); n != 2 {
			t.Errorf("%d blobs", n)
		}
		wantNoPanic(t, s)
	})
}

// Attributes that a form can give in several ways, and attributes taken from the file
// part.
func TestWhatIsSaidOfAFile(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	for _, tt := range []struct {
		name  string
		query string
		parts []formPart
		check func(api.File) bool
	}{
		{"the fields first", "", []formPart{field("purpose", "batch"), filePart("a.jsonl", "{}\n")}, func(f api.File) bool { return f.Purpose == "batch" }},
		{"the file first", "", []formPart{filePart("a.jsonl", "{}\n"), field("purpose", "batch")}, func(f api.File) bool { return f.Purpose == "batch" }},
		{"in the query", "?purpose=evals&tags=a,b&context=c", []formPart{filePart("a", "x")}, func(f api.File) bool {
			return f.Purpose == "evals" && len(f.Tags) == 2 && f.Context == "c"
		}},
		{"metadata as SDKs send objects", "", []formPart{field("metadata[a]", "1"), filePart("a", "x"), field("metadata[b c]", "2"), field("purpose", "batch")}, func(f api.File) bool {
			return string(f.Metadata) == `{"a":"1","b c":"2"}`
		}},
		{"nothing more", "", []formPart{filePart("a", "x"), field("purpose", "batch")}, func(f api.File) bool {
			return string(f.Metadata) == "{}" && f.Tags != nil && len(f.Tags) == 0 && f.ExpiresAt == 0 && f.LastAccessedAt == 0
		}},
		{"empty lists", "", []formPart{field("tags", ""), field("providers", ""), filePart("a", "x"), field("purpose", "batch")}, func(f api.File) bool { return len(f.Tags) == 0 }},
		{"a path for a name", "", []formPart{filePart(`C:\Users\me\paper.pdf`, "x"), field("purpose", "batch")}, func(f api.File) bool { return f.Filename == "paper.pdf" }},
		{"an empty file", "", []formPart{filePart("a", ""), field("purpose", "batch")}, func(f api.File) bool { return f.Bytes == 0 && *f.SHA256 == cas.DigestOf(nil).Hex() }},
		{"a malformed media type", "", []formPart{field("media_type", "nonsense"), filePart("a", "x"), field("purpose", "batch")}, func(f api.File) bool { return f.MediaType == "text/plain; charset=utf-8" }},
		{"the media type behind it", "", []formPart{filePart("a", "x"), field("media_type", "Text/Markdown"), field("purpose", "batch")}, func(f api.File) bool { return f.MediaType == "text/markdown" }},
		{"quotes in the name", "", []formPart{filePart(`a "b"; c.txt`, "x"), field("purpose", "batch")}, func(f api.File) bool { return f.Filename == `a "b"; c.txt` }},
		{"a month's life", "", []formPart{filePart("a", "x"), field("purpose", "batch"), field("expires_after[seconds]", "2592000")}, func(f api.File) bool {
			return f.ExpiresAt-f.CreatedAt >= 2591999
		}},
		{"the file under another name", "", []formPart{{"upload", "a.txt", "x"}, field("purpose", "batch")}, func(f api.File) bool { return f.Filename == "a.txt" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := s.postForm(tt.query, tt.parts...)
			if a.StatusCode != 200 || !tt.check(decode[api.File](t, a)) {
				t.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
	wantNoPanic(t, s)
}

func TestScopesOfFiles(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		made := s.newFile("x.txt", "some text")
		body, mediaType := formOf(t, filePart("x.txt", "y"), field("purpose", "vision"))
		form := body.String()
		asking, askingType := formOf(t, filePart("x.txt", "y"), field("purpose", "vision"), field("providers", "kimi"))
		askingForm := asking.String()
		path := "/v1/files/" + made.ID
		for _, tt := range []struct {
			name, method, path, body, mediaType string
			scopes                              []access.Scope
		}{
			{"create", "POST", "/v1/files", form, mediaType, []access.Scope{access.ScopeWrite}},
			{"create with copies", "POST", "/v1/files", askingForm, askingType, []access.Scope{access.ScopeWrite, access.ScopeSync}},
			{"create with copies by the query", "POST", "/v1/files?providers=kimi", form, mediaType, []access.Scope{access.ScopeWrite, access.ScopeSync}},
			{"list", "GET", "/v1/files", "", "", []access.Scope{access.ScopeRead}},
			{"get", "GET", path, "", "", []access.Scope{access.ScopeRead}},
			{"content", "GET", path + "/content", "", "", []access.Scope{access.ScopeRead}},
			{"copies", "GET", path + "/copies", "", "", []access.Scope{access.ScopeRead}},
			{"ensure", "PUT", path + "/copies/kimi", "", "", []access.Scope{access.ScopeSync}},
			{"copy", "GET", path + "/copies/kimi", "", "", []access.Scope{access.ScopeRead}},
			{"reference", "GET", path + "/references/kimi", "", "", []access.Scope{access.ScopeSync}},
			{"text", "GET", path + "/text", "", "", []access.Scope{access.ScopeSync}},
			{"delete copies", "DELETE", path + "/copies/kimi", "", "", []access.Scope{access.ScopeSync, access.ScopeDelete}},
			{"delete", "DELETE", path, "", "", []access.Scope{access.ScopeDelete}},
		} {
			send := func(token string) answer {
				return s.do(tt.method, tt.path, strings.NewReader(tt.body), "Content-Type", tt.mediaType, "Authorization", token)
			}
			if e := send("-").wantFileError(t, 401, problem.Unauthenticated, ""); e.Type != "authentication_error" {
				t.Errorf("%s: %+v", tt.name, e)
			}
			send("Bearer cas_nobody_nothing").wantFileError(t, 401, problem.Unauthenticated, "")
			for _, missing := range tt.scopes {
				var others []access.Scope
				for _, scope := range []access.Scope{access.ScopeRead, access.ScopeWrite, access.ScopeDelete, access.ScopeSync} {
					if scope != missing {
						others = append(others, scope)
					}
				}
				a := send("Bearer " + s.newToken(others...))
				if a.StatusCode != 403 || !strings.Contains(string(a.body), string(missing)) || !strings.Contains(string(a.body), `"permission_error"`) {
					t.Errorf("%s without %s: %d %s", tt.name, missing, a.StatusCode, a.body)
				}
			}
			if a := send("Bearer " + s.newToken(tt.scopes...)); a.StatusCode != 200 {
				t.Errorf("%s: %d %s", tt.name, a.StatusCode, a.body)
			}
		}
		wantNoPanic(t, s)
	})
}

func TestFilesExpire(t *testing.T) {
	p := embedded(t, t.TempDir())
	s := start(t, p, nil)
	made := s.newFile("x.txt", "not for long")
	d := cas.DigestOf([]byte("not for long"))
	soon := time.Now().Add(200 * time.Millisecond)
	f, err := p.index.CreateFile(t.Context(), cas.NewFile{File: cas.File{ID: cas.NewFileID(), Digest: d, Name: "soon.txt", Purpose: "batch", ExpiresAt: soon}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file to expire", func() bool { return s.do("GET", "/v1/files/"+f.ID, nil).StatusCode == 404 })
	if list := s.listFiles(nil); len(list.Data) != 1 || list.Data[0].ID != made.ID {
		t.Errorf("%+v", list)
	}
	s.do("GET", "/v1/files/"+f.ID+"/content", nil).wantFileError(t, 404, problem.FileNotFound, "id")
	if list := s.listFiles(url.Values{"after": {f.ID}}); len(list.Data) != 1 || list.Data[0].ID != made.ID {
		t.Errorf("after the expired file: %+v", list)
	}
	s.do("GET", "/v1/files/"+url.PathEscape("file-../../x"), nil).wantFileError(t, 404, problem.FileNotFound, "id")
}
