package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

func TestCopyIsMadeOnceAndThenKnown(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("some text", "note.md")
		empty := s.do("GET", s.path(d)+"/copies", nil)
		if empty.StatusCode != 200 || string(bytes.TrimSpace(empty.body)) != `{"copies":[]}` {
			t.Errorf("before: %d %s", empty.StatusCode, empty.body)
		}
		s.do("GET", s.copyPath(d, "kimi"), nil).wantProblem(t, 404, problem.CopyNotFound)
		if n := kimi.count(providers.OpUpload); n != 0 {
			t.Fatalf("looking has uploaded %d times", n)
		}

		first := s.ensure(d, "kimi")
		if !*first.Created || first.Purpose != "file-extract" || first.Extension != ".md" || first.Name != "note.md" || first.Size != 9 || first.ReadyAt == nil || first.Simulated {
			t.Errorf("the first ensure: %+v", first)
		}
		second := s.ensure(d, "kimi")
		if *second.Created || second.ProviderFileID != first.ProviderFileID || kimi.count(providers.OpUpload) != 1 {
			t.Errorf("the second ensure: %+v after %d uploads", second, kimi.count(providers.OpUpload))
		}
		for _, path := range []string{s.copyPath(d, "kimi"), s.copyPath(d, "kimi") + "?purpose=file-extract", s.copyPath(d, "kimi") + "?name=other.md"} {
			if got := decode[api.Copy](t, s.do("GET", path, nil)); got.ProviderFileID != first.ProviderFileID || got.Created != nil {
				t.Errorf("%s: %+v", path, got)
			}
		}
		s.do("GET", s.copyPath(d, "kimi")+"?purpose=image", nil).wantProblem(t, 404, problem.CopyNotFound)
		s.do("GET", s.copyPath(d, "kimi")+"?name=other.txt", nil).wantProblem(t, 404, problem.CopyNotFound)

		other := decode[api.Copy](t, s.do("PUT", s.copyPath(d, "kimi")+"?name=other.txt", nil))
		if other.ProviderFileID == first.ProviderFileID || other.Extension != ".txt" {
			t.Errorf("under another extension: %+v", other)
		}
		s.ensure(d, "glm")
		meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil))
		list := decode[api.CopyList](t, s.do("GET", s.path(d)+"/copies", nil))
		if len(meta.Copies) != 3 || len(list.Copies) != 3 || list.Copies[2].Provider != "glm" {
			t.Errorf("meta %+v, list %+v", meta.Copies, list.Copies)
		}
		wantNoPanic(t, s)
	})
}

func TestManyAskAndOneUploadIsMade(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("wanted by many", "x.txt")
		release := kimi.holdUploads(t)
		const callers = 20
		var group sync.WaitGroup
		answers := make(chan api.Copy, callers)
		for range callers {
			group.Go(func() {
				a, err := s.try("PUT", s.copyPath(d, "kimi"), nil)
				if err != nil || a.StatusCode != 200 {
					t.Errorf("%d %s, %v", a.StatusCode, a.body, err)
					return
				}
				answers <- decode[api.Copy](t, a)
			})
		}
		eventually(t, "the upload to begin", func() bool { return kimi.count(providers.OpUpload) > 0 })
		release()
		group.Wait()
		close(answers)
		created, ids := 0, map[string]bool{}
		for c := range answers {
			ids[c.ProviderFileID] = true
			if *c.Created {
				created++
			}
		}
		if created != 1 || len(ids) != 1 || kimi.count(providers.OpUpload) != 1 {
			t.Errorf("%d were told that they made it, %d ids, %d uploads", created, len(ids), kimi.count(providers.OpUpload))
		}
	})
}

func TestPreferencesAndPolling(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, oneAttempt, nil)
		for _, tt := range []struct{ name, prefer, applied, appliedReady string }{
			{"respond-async", "respond-async", "respond-async", ""},
			{"no wait", "wait=0", "wait=0", "wait=0"},
			{"a second", "respond-async, wait=1", "respond-async, wait=1", "wait=1"},
			{"a second, written otherwise", `foo="a,b"; x=1, WAIT = "1" ;y`, "wait=1", "wait=1"},
		} {
			d := s.putNamed(tt.name, "x.txt")
			release := kimi.holdUploads(t)
			a := s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", tt.prefer)
			path := s.operationOf(a)
			if got := a.Header.Get("Preference-Applied"); got != tt.applied {
				t.Errorf("%s: Preference-Applied %q", tt.name, got)
			}
			begun := decode[api.Copy](t, a)
			if begun.Created != nil || begun.ProviderFileID != "" || !strings.HasSuffix(path, begun.OperationID) {
				t.Errorf("%s: %s", tt.name, a.body)
			}
			eventually(t, "the operation to run", func() bool {
				o := decode[api.Operation](t, s.do("GET", path, nil))
				if o.Kind != api.OperationSync || o.Status != api.OperationPending && o.Status != api.OperationRunning {
					t.Fatalf("%+v", o)
				}
				return o.Status == api.OperationRunning
			})
			// Another caller gets the same operation.
			if again := s.operationOf(s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async")); again != path {
				t.Errorf("%s: a second operation %s beside %s", tt.name, again, path)
			}
			release()
			if o := s.waitOperation(path); o.Status != api.OperationSucceeded || o.Copy.State != "ready" || o.Copy.ProviderFileID == "" || o.Error != nil {
				t.Errorf("%s: %+v", tt.name, o)
			}
			a = s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", tt.prefer)
			if a.StatusCode != 200 || *decode[api.Copy](t, a).Created || a.Header.Get("Preference-Applied") != tt.appliedReady {
				t.Errorf("%s, when it is there: %d %v %s", tt.name, a.StatusCode, a.Header, a.body)
			}
		}
		if n := kimi.count(providers.OpUpload); n != 4 {
			t.Errorf("%d uploads for 4 copies", n)
		}

		d := s.putNamed("to be refused", "x.txt")
		kimi.breaks(providers.OpUpload, &providers.Error{Provider: "kimi", Op: providers.OpUpload, Kind: providers.KindPermanent, Status: 400, Code: "content_filter", Message: "high risk"})
		path := s.operationOf(s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async"))
		o := s.waitOperation(path)
		if o.Status != api.OperationFailed || o.Error == nil || o.Error.Code != problem.ProviderRejected || o.Error.ProviderCode != "content_filter" || o.Error.Retryable || o.Copy.State != "failed" {
			t.Errorf("a refusal: %+v", o)
		}
		// The gateway does not retry by itself, and 202 would promise that.
		s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async").wantProblem(t, 422, problem.ProviderRejected)
		s.do("PUT", s.copyPath(d, "kimi"), nil).wantProblem(t, 422, problem.ProviderRejected)
		if n := kimi.count(providers.OpUpload); n != 5 {
			t.Errorf("%d uploads", n)
		}
		kimi.breaks(providers.OpUpload, nil)
		if a := s.do("PUT", s.copyPath(d, "kimi")+"?retry=true", nil); a.StatusCode != 200 {
			t.Errorf("the retry: %d %s", a.StatusCode, a.body)
		}
		// A later one took its place in the ledger, and the journal has it.
		eventually(t, "the journal to know it", func() bool { return s.do("GET", path, nil).StatusCode == 200 })
		if o := s.waitOperation(path); o.Status != api.OperationFailed || o.Error.Code != problem.ProviderRejected || o.Copy != nil || o.Record.Kind != "sync" {
			t.Errorf("the operation of long ago: %+v", o)
		}
		for _, id := range []string{"nothing", "%00", "%ff", "a%2Fb", strings.Repeat("x", 300), newID(), "🙂"} {
			s.do("GET", "/v1/operations/"+id, nil).wantProblem(t, 404, problem.OperationNotFound)
		}
		wantNoPanic(t, s)
	})
}

func newID() string { return "0192d3b4-7c1e-7000-8000-000000000000" }

func TestWaitRunsOutAndTheWorkGoesOn(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, func(o *gatewayOptions, _ *cas.Options) { o.CopyWait = time.Second })
		d := s.putNamed("slow", "x.txt")
		release := kimi.holdUploads(t)
		a := s.do("PUT", s.copyPath(d, "kimi"), nil)
		path := s.operationOf(a)
		if got := a.Header.Get("Preference-Applied"); got != "" {
			t.Errorf("nothing was preferred, and %q was applied", got)
		}
		// An endpoint that can only answer with the content waits a second, and says so.
		for _, wanted := range []string{"/references/kimi?kind=file_id", "/text"} {
			s.do("GET", s.path(d)+wanted, nil).wantProblem(t, 409, problem.CopyInProgress)
		}
		s.operationOf(s.do("POST", s.copyPath(d, "kimi")+"/lost", nil))
		release()
		if o := s.waitOperation(path); o.Status != api.OperationSucceeded {
			t.Errorf("%+v", o)
		}
		if n := kimi.count(providers.OpUpload); n != 1 {
			t.Errorf("%d uploads", n)
		}
	})
}

// A text whose object is missing is extracted again by the request that finds it out.
func TestMissingTextIsExtractedAgain(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("some text", "x.txt")
		head := s.do("HEAD", s.path(d)+"/text", nil)
		text, err := cas.ParseDigest(strings.Trim(head.Header.Get("ETag"), `"`))
		if err != nil {
			t.Fatalf("%d: %v", head.StatusCode, err)
		}
		p.remove(t, text)
		if a := s.do("GET", s.path(d)+"/text", nil); a.StatusCode != 200 || cas.DigestOf(a.body) != text {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		if n, uploads := kimi.count(providers.OpText), kimi.count(providers.OpUpload); n != 2 || uploads != 1 {
			t.Errorf("the text was extracted %d times, after %d uploads", n, uploads)
		}
		wantNoPanic(t, s)
	})
}

func TestClientThatHangsUpLeavesTheWorkGoing(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("left alone", "x.txt")
		release := kimi.holdUploads(t)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "PUT", s.url+s.copyPath(d, "kimi"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.token)
		ended := make(chan error, 1)
		go func() {
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				res.Body.Close()
			}
			ended <- err
		}()
		eventually(t, "the upload to begin", func() bool { return kimi.count(providers.OpUpload) > 0 })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("the request ended with %v", err)
		}
		eventually(t, "the gateway to notice", func() bool { return strings.Contains(s.logs.String(), `"status":499`) })
		release()
		eventually(t, "the copy to be ready", func() bool {
			return decode[api.Copy](t, s.do("GET", s.copyPath(d, "kimi"), nil)).State == "ready"
		})
		if c := s.ensure(d, "kimi"); *c.Created || kimi.count(providers.OpUpload) != 1 {
			t.Errorf("%+v after %d uploads", c, kimi.count(providers.OpUpload))
		}
	})
}

func TestStopAnswersThoseWhoWait(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("unfinished", "x.txt")
		kimi.holdUploads(t)
		answered := make(chan answer, 1)
		go func() {
			a, err := s.try("PUT", s.copyPath(d, "kimi"), nil)
			if err != nil {
				t.Error(err)
			}
			answered <- a
		}()
		eventually(t, "the upload to begin", func() bool { return kimi.count(providers.OpUpload) > 0 })
		s.stop() // would take half a minute, and cut the request off
		s.operationOf(<-answered)
	})
}
