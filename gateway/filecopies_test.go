package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

func (s *server) fileCopyPath(id, provider string) string {
	return "/v1/files/" + id + "/copies/" + provider
}

// Two files have the same bytes and one copy. Each answer about the copy of a file has the
// name of that file, and not of the one whose copy was made first.
func TestCopyHasTheNameOfItsFile(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		alice, bob := s.newFile("notice for alice.txt", "some text"), s.newFile("bob.txt", "some text")
		first := decode[api.Copy](t, s.do("PUT", s.fileCopyPath(alice.ID, "kimi"), nil))
		path := "/v1/files/" + bob.ID
		for _, a := range []answer{
			s.do("PUT", s.fileCopyPath(bob.ID, "kimi"), nil),
			s.do("PUT", s.fileCopyPath(bob.ID, "kimi"), nil, "Prefer", "respond-async"),
			s.do("GET", s.fileCopyPath(bob.ID, "kimi"), nil),
			s.do("GET", path+"/copies", nil),
			s.do("GET", path+"/references/kimi?kind=file_id", nil),
			s.do("POST", s.fileCopyPath(bob.ID, "kimi")+"/lost", nil),
			s.do("DELETE", s.fileCopyPath(bob.ID, "kimi"), nil),
		} {
			if a.StatusCode != 200 || !bytes.Contains(a.body, []byte(`"name":"bob.txt"`)) || bytes.Contains(a.body, []byte("alice")) {
				t.Errorf("%s %s: %d %s", a.Request.Method, a.Request.URL, a.StatusCode, a.body)
			}
		}
		if first.Name != "notice for alice.txt" || len(kimi.ids()) != 0 {
			t.Errorf("%+v, and there are %v", first, kimi.ids())
		}
	})
}

func TestCopiesOfFiles(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		note := s.newFile("note.md", "some text")
		plain := s.newFile("no extension", "some text", field("media_type", "text/plain"))
		path := "/v1/files/" + note.ID
		if a := s.do("GET", path+"/copies", nil); a.StatusCode != 200 || string(bytes.TrimSpace(a.body)) != `{"copies":[]}` {
			t.Errorf("before: %d %s", a.StatusCode, a.body)
		}
		s.do("GET", s.fileCopyPath(note.ID, "kimi"), nil).wantFileError(t, 404, problem.CopyNotFound, "")
		s.do("DELETE", s.fileCopyPath(note.ID, "kimi"), nil).wantFileError(t, 404, problem.CopyNotFound, "")

		made := decode[api.Copy](t, s.do("PUT", s.fileCopyPath(note.ID, "kimi"), nil))
		if made.Extension != ".md" || made.Name != "note.md" || !*made.Created {
			t.Errorf("%+v", made)
		}
		// The blob's own name was the first one given, .md; this file's type says .txt.
		other := decode[api.Copy](t, s.do("PUT", s.fileCopyPath(plain.ID, "kimi"), nil))
		if other.Extension != ".txt" || other.ProviderFileID == made.ProviderFileID {
			t.Errorf("%+v", other)
		}
		for id, want := range map[string]string{note.ID: made.ProviderFileID, plain.ID: other.ProviderFileID} {
			if got := decode[api.Copy](t, s.do("GET", s.fileCopyPath(id, "kimi"), nil)); got.ProviderFileID != want {
				t.Errorf("%+v", got)
			}
		}
		named := decode[api.Copy](t, s.do("PUT", s.fileCopyPath(note.ID, "kimi")+"?name=x.pdf", nil))
		if named.Extension != ".pdf" {
			t.Errorf("%+v", named)
		}
		if list := decode[api.CopyList](t, s.do("GET", path+"/copies", nil)); len(list.Copies) != 3 {
			t.Errorf("%+v", list)
		}
		ref := decode[api.Reference](t, s.do("GET", path+"/references/kimi?kind=file_id", nil))
		if ref.Copy == nil || ref.Copy.ProviderFileID != made.ProviderFileID {
			t.Errorf("%+v", ref)
		}
		text := s.do("GET", path+"/text", nil)
		if text.StatusCode != 200 || len(text.body) == 0 || text.Header.Get("Content-Location") == "" {
			t.Errorf("text: %d %s", text.StatusCode, text.body)
		}
		if head := s.do("HEAD", path+"/text", nil); head.StatusCode != 200 {
			t.Errorf("HEAD of the text: %d", head.StatusCode)
		}
		if again := s.do("POST", s.fileCopyPath(note.ID, "kimi")+"/lost", nil); again.StatusCode != 200 {
			t.Errorf("lost: %d %s", again.StatusCode, again.body)
		}
		if gone := s.do("DELETE", s.fileCopyPath(note.ID, "kimi"), nil); gone.StatusCode != 200 || len(kimi.ids()) != 0 {
			t.Errorf("%d %s, and there are still %v", gone.StatusCode, gone.body, kimi.ids())
		}

		for path, code := range map[string]problem.Code{
			s.fileCopyPath(note.ID, "absent"):       problem.ProviderNotFound,
			s.fileCopyPath("file-absent", "kimi"):   problem.FileNotFound,
			"/v1/files/file-absent/copies":          problem.FileNotFound,
			"/v1/files/file-absent/text":            problem.FileNotFound,
			"/v1/files/x/references/kimi":           problem.FileNotFound,
			"/v1/files/" + note.ID + "/copies/qwen": problem.ProviderUnavailable,
		} {
			method := "GET"
			status, param := 404, ""
			switch code {
			case problem.FileNotFound:
				param = "id"
			case problem.ProviderUnavailable:
				status = 503
			}
			s.do(method, path, nil).wantFileError(t, status, code, param)
		}
		kimi.breaks(providers.OpUpload, &providers.Error{Provider: "kimi", Op: providers.OpUpload, Kind: providers.KindPermanent, Status: 400, Code: "content_filter", Message: "high risk"})
		e := s.do("PUT", s.fileCopyPath(note.ID, "kimi"), nil).wantFileError(t, 422, problem.ProviderRejected, "")
		if e.Provider != "kimi" || e.ProviderCode != "content_filter" || e.ProviderMessage != "high risk" {
			t.Errorf("%+v", e)
		}
		wantNoPanic(t, s)
	})
}

func TestNewFilesAskForCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		for name, a := range map[string]answer{
			"as a field behind the file": s.postForm("", filePart("a", "asked 1"), field("purpose", "batch"), field("media_type", "text/plain"), field("providers", "kimi, glm")),
			"as a list":                  s.postForm("", field("providers[]", "kimi"), field("providers[]", "glm"), filePart("a.txt", "asked 2"), field("purpose", "batch")),
			"in the query":               s.postForm("?providers=kimi,glm", filePart("a.txt", "asked 3"), field("purpose", "batch")),
		} {
			made := decode[api.File](t, a)
			if a.StatusCode != 200 || len(made.Asked) != 2 {
				t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
				continue
			}
			for _, asked := range made.Asked {
				if asked.Error != nil || asked.Purpose != "file-extract" {
					t.Errorf("%s: %+v", name, asked)
				}
				if asked.State != "ready" {
					if o := s.waitOperation("/v1/operations/" + asked.OperationID); o.Status != api.OperationSucceeded || o.Copy.Extension != ".txt" {
						t.Errorf("%s: %+v", name, o)
					}
				}
			}
		}
		// A file that a provider refuses is stored nevertheless.
		a := s.postForm("?providers=kimi", filePart("a.exe", "asked 4"), field("purpose", "batch"))
		if made := decode[api.File](t, a); a.StatusCode != 200 || made.Asked[0].State != "failed" || made.Asked[0].Error.Code != problem.ProviderRejected {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		wantNoPanic(t, s)
	})
}

// drawer is a source of imported files in memory.
type drawer struct {
	mu      sync.Mutex
	objects map[string]string
	opened  map[string]int
	down    error         // the error of all reads; nil: reads work
	hold    chan struct{} // reads wait until it is closed; nil: they don't
}

func (d *drawer) Name() string { return "drawer" }

func (d *drawer) Open(ctx context.Context, key string) (cas.Object, error) {
	d.mu.Lock()
	content, ok := d.objects[key]
	d.opened[key]++
	down, hold := d.down, d.hold
	d.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return cas.Object{}, ctx.Err()
		}
	}
	switch {
	case down != nil:
		return cas.Object{}, down
	case !ok:
		return cas.Object{}, fmt.Errorf("%w: %s", cas.ErrObjectMissing, key)
	}
	return cas.Object{Body: io.NopCloser(strings.NewReader(content)), Size: int64(len(content))}, nil
}

// imported imports an object of a drawer as a file.
func (p *parts) imported(t *testing.T, key string, size int64, noted cas.Digest) string {
	t.Helper()
	f := cas.File{
		ID: cas.NewFileID(), Size: size, Name: key, Purpose: "user_data", CreatedAt: time.Now().Add(-time.Hour),
		Origin: &cas.Origin{Source: "drawer", Key: key, Digest: noted},
	}
	if stored, err := p.index.ImportFiles(t.Context(), []cas.File{f}, cas.ImportFilesOptions{}); err != nil || len(stored) != 1 {
		t.Fatalf("%v, %v", stored, err)
	}
	return f.ID
}

// The bytes of imported files are taken in when they are first needed.
func TestImportedFiles(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		lies := &drawer{objects: map[string]string{"a.md": "imported text", "b.txt": "other", "wrong.txt": "not it", "late.txt": "late"}, opened: map[string]int{}}
		p.sources = []cas.Source{lies}
		s, _ := startCopier(t, p, nil, nil)
		a := p.imported(t, "a.md", -1, cas.Digest{})
		b := p.imported(t, "b.txt", 5, cas.DigestOf([]byte("other")))
		missing := p.imported(t, "missing.txt", 5, cas.Digest{})
		wrong := p.imported(t, "wrong.txt", 6, cas.DigestOf([]byte("it")))

		before := decode[api.File](t, s.do("GET", "/v1/files/"+a, nil))
		if before.SHA256 != nil || before.URL != "" || before.Bytes != 0 || before.Status != "processed" {
			t.Errorf("%+v", before)
		}
		if list := decode[api.CopyList](t, s.do("GET", "/v1/files/"+a+"/copies", nil)); len(list.Copies) != 0 {
			t.Errorf("%+v", list)
		}
		s.do("GET", s.fileCopyPath(a, "kimi"), nil).wantFileError(t, 404, problem.CopyNotFound, "")
		if len(lies.opened) != 0 {
			t.Errorf("to look was enough to open %v", lies.opened)
		}
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				if got, err := s.try("GET", "/v1/files/"+a+"/content", nil); err != nil || got.StatusCode != 200 || string(got.body) != "imported text" {
					t.Errorf("%d %s, %v", got.StatusCode, got.body, err)
				}
			})
		}
		group.Wait()
		after := decode[api.File](t, s.do("GET", "/v1/files/"+a, nil))
		if after.Digest() != cas.DigestOf([]byte("imported text")) || after.Bytes != 13 || !strings.HasPrefix(after.MediaType, "text/markdown") {
			t.Errorf("%+v", after)
		}
		if made := decode[api.Copy](t, s.do("PUT", s.fileCopyPath(b, "kimi"), nil)); made.State != "ready" || made.Name != "b.txt" {
			t.Errorf("%+v", made)
		}
		for _, asked := range [][2]string{{"GET", "/content"}, {"GET", "/text?provider=kimi"}, {"PUT", "/copies/kimi"}, {"GET", "/references/kimi"}} {
			a := s.do(asked[0], "/v1/files/"+missing+asked[1], nil)
			a.wantFileError(t, 502, problem.ObjectMissing, "")
			if detail := decode[problem.Details](t, a).Detail; !strings.Contains(detail, "missing in the place that it was imported from") {
				t.Errorf("%s: %s", asked[1], detail)
			}
		}
		s.do("GET", "/v1/files/"+wrong+"/content", nil).wantFileError(t, 502, problem.ObjectCorrupt, "")
		for _, id := range []string{missing, wrong} {
			if f := decode[api.File](t, s.do("GET", "/v1/files/"+id, nil)); f.Status != "error" || f.StatusDetails == "" || f.SHA256 != nil {
				t.Errorf("%+v", f)
			}
		}
		if gone := s.do("DELETE", "/v1/files/"+missing, nil); gone.StatusCode != 200 {
			t.Errorf("%d %s", gone.StatusCode, gone.body)
		}

		// One that takes long is taken in nevertheless.
		late := p.imported(t, "late.txt", -1, cas.Digest{})
		hold := make(chan struct{})
		lies.mu.Lock()
		lies.hold = hold
		lies.mu.Unlock()
		s.do("GET", "/v1/files/"+late+"/content", nil, "Prefer", "wait=1").wantFileError(t, 503, problem.OriginUnavailable, "")
		close(hold)
		eventually(t, "the bytes to be taken in", func() bool {
			return decode[api.File](t, s.do("GET", "/v1/files/"+late, nil)).SHA256 != nil
		})
		lies.mu.Lock()
		lies.hold, lies.down = nil, fmt.Errorf("%w: secret-host refused", cas.ErrOriginUnavailable)
		lies.mu.Unlock()
		down := p.imported(t, "a.md", -1, cas.Digest{})
		if e := s.do("GET", "/v1/files/"+down+"/content", nil).wantFileError(t, 503, problem.OriginUnavailable, ""); strings.Contains(e.Message, "secret-host") {
			t.Errorf("%+v", e)
		}
		wantNoPanic(t, s)
	})
}
