package gateway_test

import (
	"io"
	"strings"
	"testing"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
)

func TestDeleteOfCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("to go", "x.txt")
		s.do("DELETE", s.copyPath(d, "kimi"), nil).wantProblem(t, 404, problem.CopyNotFound)
		s.ensure(d, "kimi")
		if a := s.do("PUT", s.copyPath(d, "kimi")+"?name=x.md", nil); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		a := s.do("DELETE", s.copyPath(d, "kimi"), nil)
		gone := decode[api.CopyList](t, a)
		if a.StatusCode != 200 || len(gone.Copies) != 2 || gone.Copies[0].State != "deleted" || gone.Copies[1].State != "deleted" || len(kimi.ids()) != 0 {
			t.Fatalf("%d %s; there are still %v", a.StatusCode, a.body, kimi.ids())
		}
		if list := decode[api.CopyList](t, s.do("GET", s.path(d)+"/copies", nil)); len(list.Copies) != 0 {
			t.Errorf("%+v", list)
		}
		s.wantBlob([]byte("to go"))

		// The provider doesn't answer: it isn't said to be gone before it is.
		s.ensure(d, "kimi")
		if a := s.do("PUT", s.copyPath(d, "kimi")+"?name=x.md", nil); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		kimi.breaks(providers.OpDelete, &providers.Error{Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindTransient, Status: 503})
		a = s.do("DELETE", s.copyPath(d, "kimi"), nil)
		path := s.operationOf(a)
		if list := decode[api.CopyList](t, a); len(list.Copies) != 2 || list.Copies[0].State != "deleting" {
			t.Errorf("%s", a.body)
		}
		if o := decode[api.Operation](t, s.do("GET", path, nil)); o.Kind != api.OperationDelete || o.Status != api.OperationRunning || o.Error == nil || o.Error.Code != problem.ProviderFailed {
			t.Errorf("%+v", o)
		}
		s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async").wantProblem(t, 409, problem.CopyInProgress)
		kimi.breaks(providers.OpDelete, nil)
		if o := s.waitOperation(path); o.Kind != api.OperationDelete || o.Status != api.OperationSucceeded || o.Copy.State != "deleted" || len(kimi.ids()) != 0 {
			t.Errorf("%+v; there are still %v", o, kimi.ids())
		}

		// Of several, all have to be gone.
		for _, stuck := range []string{"x.txt", "x.md"} {
			ids := map[string]string{}
			for _, name := range []string{"x.txt", "x.md"} {
				ids[name] = decode[api.Copy](t, s.do("PUT", s.copyPath(d, "kimi")+"?name="+name, nil)).ProviderFileID
			}
			kimi.change(func() { kimi.stuck = ids[stuck] })
			path := s.operationOf(s.do("DELETE", s.copyPath(d, "kimi"), nil))
			if o := decode[api.Operation](t, s.do("GET", path, nil)); o.Status != api.OperationRunning || o.Copy.ProviderFileID != ids[stuck] {
				t.Errorf("%s is still there: %+v", stuck, o)
			}
			kimi.change(func() { kimi.stuck = "" })
			if o := s.waitOperation(path); o.Status != api.OperationSucceeded || len(kimi.ids()) != 0 {
				t.Errorf("%+v; there are still %v", o, kimi.ids())
			}
		}

		// Copies outlive their blob, and can still be removed.
		s.ensure(d, "kimi")
		s.do("DELETE", s.path(d), nil)
		if list := decode[api.CopyList](t, s.do("GET", s.path(d)+"/copies", nil)); len(list.Copies) != 1 {
			t.Errorf("of a deleted blob: %+v", list)
		}
		s.do("PUT", s.copyPath(d, "kimi"), nil).wantProblem(t, 404, problem.BlobNotFound)
		if a := s.do("DELETE", s.copyPath(d, "kimi"), nil); a.StatusCode != 200 || len(kimi.ids()) != 0 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		s.do("GET", s.path(d)+"/copies", nil).wantProblem(t, 404, problem.BlobNotFound)
		wantNoPanic(t, s)
	})
}

func TestLostFileIsUploadedAgain(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("lost and found", "x.txt")
		lost := s.copyPath(d, "kimi") + "/lost"
		first := s.ensure(d, "kimi")
		report := func(body io.Reader) api.Copy {
			t.Helper()
			a := s.do("POST", lost, body)
			if a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			return decode[api.Copy](t, a)
		}
		if c := report(strings.NewReader(`{"provider_file_id":"` + first.ProviderFileID + `"}`)); *c.Created || c.ProviderFileID != first.ProviderFileID {
			t.Errorf("the file is there: %+v", c)
		}
		id := first.ProviderFileID
		for _, body := range []func() io.Reader{
			func() io.Reader { return strings.NewReader(`{"provider_file_id":"` + id + `"}`) },
			func() io.Reader { return nil },
			func() io.Reader { return chunked(nil) },
		} {
			kimi.forget(id)
			c := report(body())
			if !*c.Created || c.ProviderFileID == id {
				t.Errorf("%+v", c)
			}
			id = c.ProviderFileID
		}
		if c := report(strings.NewReader(`{"provider_file_id":"` + first.ProviderFileID + `"}`)); *c.Created || c.ProviderFileID != id {
			t.Errorf("an id of long ago: %+v", c)
		}
		for _, bad := range []string{`{"provider_file_id":1}`, `{"id":"x"}`, `[]`, `{}{}`, `{"provider_file_id":`} {
			s.do("POST", lost, strings.NewReader(bad)).wantProblem(t, 400, problem.InvalidRequest)
		}
		// It has been lost too often by now.
		kimi.forget(id)
		said := s.do("POST", lost, nil).wantProblem(t, 502, problem.ProviderFailed)
		if said.Provider != "kimi" || said.RetryAfter < 60 {
			t.Errorf("%+v", said)
		}
		s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async").wantProblem(t, 502, problem.ProviderFailed)
		never := s.putNamed("never there", "x.txt")
		uploads := kimi.count(providers.OpUpload)
		s.do("POST", s.copyPath(never, "kimi")+"/lost", nil).wantProblem(t, 404, problem.CopyNotFound)
		if n := kimi.count(providers.OpUpload); n != uploads {
			t.Errorf("%d uploads of a copy there never was", n-uploads)
		}
	})
}
