package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
	"casgate/providers"
	"casgate/providers/replicator"
)

// giver is a remote that gives files back. It ends them early, or not at all, as told.
type giver struct {
	*remote
	short int // how many bytes are missing
}

func (g *giver) Download(_ context.Context, id string) (io.ReadCloser, error) {
	if err := g.begin(providers.OpDownload); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	content, ok := g.content[id]
	if _, there := g.files[id]; !ok || !there {
		return nil, g.failed(providers.OpDownload, providers.KindLost, "", nil)
	}
	if g.short == 0 {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
	broken := g.failed(providers.OpDownload, providers.KindTransient, providers.CodeConnection, nil)
	return io.NopCloser(io.MultiReader(bytes.NewReader(content[:len(content)-g.short]), failing{broken})), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestContentOfCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		qwen := &giver{remote: newRemote("qwen")}
		s, _ := startCopier(t, p, func(o *replicator.Options) { o.Providers = append(o.Providers, qwen) }, nil)
		c := s.client()
		content := strings.Repeat("some text ", 900)
		file := s.newFile("note.txt", content)
		d := file.Digest()
		paths := []string{s.copyPath(d, "qwen") + "/content", s.fileCopyPath(file.ID, "qwen") + "/content"}

		s.do("GET", paths[0], nil).wantProblem(t, 404, problem.CopyNotFound)
		s.do("GET", paths[1], nil).wantFileError(t, 404, problem.CopyNotFound, "")
		s.do("GET", s.copyPath(d, "none")+"/content", nil).wantProblem(t, 404, problem.ProviderNotFound)
		if n := qwen.count(providers.OpUpload); n != 0 {
			t.Errorf("to look for it made %d uploads", n)
		}
		made := decode[api.Copy](t, s.do("PUT", s.fileCopyPath(file.ID, "qwen"), nil))
		// A provider may change the bytes that it got.
		qwen.change(func() { qwen.content[made.ProviderFileID] = []byte(strings.ToUpper(content)) })
		for _, path := range paths {
			a := s.do("GET", path, nil)
			if a.StatusCode != 200 || string(a.body) != strings.ToUpper(content) {
				t.Errorf("%s: %d, %d bytes", path, a.StatusCode, len(a.body))
			}
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Etag": "", "Repr-Digest": "",
				"Content-Type": "text/plain; charset=utf-8", "Content-Disposition": "inline; filename=\"note.txt\"",
			} {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s: %s: %q; want %q", path, name, got, want)
				}
			}
		}
		got, err := c.File(file.ID).CopyContent(t.Context(), "qwen", client.CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		read, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil || string(read) != strings.ToUpper(content) || got.Name != "note.txt" || got.MediaType != "text/plain; charset=utf-8" {
			t.Errorf("%d bytes, %+v, %v", len(read), got, err)
		}

		// An answer that breaks off must not look complete.
		qwen.change(func() { qwen.short = 10 })
		if got, err = c.Blob(d).CopyContent(t.Context(), "qwen", client.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		if read, err = io.ReadAll(got.Body); !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%d bytes, %v", len(read), err)
		}
		got.Body.Close()
		qwen.change(func() { qwen.short = len(content) })
		s.do("GET", paths[0], nil).wantProblem(t, 502, problem.ProviderFailed)
		qwen.change(func() { qwen.short = 0 })

		// If a provider returns no content, the error says where to get it.
		s.ensure(d, "kimi")
		s.ensure(d, "glm")
		kimis := s.do("GET", s.copyPath(d, "kimi")+"/content", nil).wantProblem(t, 422, problem.ProviderRejected)
		if !strings.Contains(kimis.Detail, s.path(d)+"/text?provider=kimi") {
			t.Errorf("%s", kimis.Detail)
		}
		glms := s.do("GET", s.copyPath(d, "glm")+"/content", nil).wantProblem(t, 422, problem.ProviderRejected)
		if strings.Contains(glms.Detail, "text?") || !strings.Contains(glms.Detail, s.path(d)) {
			t.Errorf("%s", glms.Detail)
		}
		_, err = c.File(file.ID).CopyContent(t.Context(), "kimi", client.CopyOptions{})
		if !errors.Is(err, client.ErrProvider) {
			t.Errorf("%v", err)
		}

		// A file that is lost is noted as lost.
		qwen.forget(made.ProviderFileID)
		s.do("GET", paths[1], nil).wantFileError(t, 502, problem.ProviderFailed, "")
		if c := decode[api.Copy](t, s.do("GET", s.copyPath(d, "qwen"), nil)); c.State != "lost" {
			t.Errorf("%+v", c)
		}
		s.do("GET", paths[0], nil).wantProblem(t, 404, problem.CopyNotFound)

		// One that is being made is not there yet.
		release := qwen.holdUploads(t)
		path := s.operationOf(s.do("PUT", s.copyPath(d, "qwen"), nil, "Prefer", "respond-async"))
		s.do("GET", paths[0], nil).wantProblem(t, 409, problem.CopyInProgress)
		release()
		s.waitOperation(path)
		if a := s.do("GET", paths[0], nil); a.StatusCode != 200 || string(a.body) != content {
			t.Errorf("%d, %d bytes", a.StatusCode, len(a.body))
		}
		s.do("GET", s.copyPath(cas.DigestOf([]byte("no such")), "qwen")+"/content", nil).wantProblem(t, 404, problem.CopyNotFound)
		wantNoPanic(t, s)
	})
}
