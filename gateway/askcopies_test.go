package gateway_test

import (
	"bytes"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func TestUploadAsksForCopies(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		upload := func(method, path, content string) (int, api.Blob) {
			t.Helper()
			a := s.do(method, path, strings.NewReader(content), "Content-Type", "text/plain")
			return a.StatusCode, decode[api.Blob](t, a)
		}
		d := cas.DigestOf([]byte("wanted at once"))
		release := kimi.holdUploads(t)
		status, blob := upload("PUT", s.path(d)+"?name=x.md&providers=kimi,glm,%20kimi&providers=qwen", "wanted at once")
		if status != 201 || len(blob.Asked) != 3 {
			t.Fatalf("%d %+v", status, blob)
		}
		operations := map[string]bool{}
		for _, asked := range blob.Asked[:2] {
			if asked.State != "pending" || asked.Error != nil || asked.Purpose != "file-extract" {
				t.Errorf("%+v", asked)
			}
			operations[asked.OperationID] = true
		}
		if len(operations) != 2 {
			t.Errorf("the operations aren't told apart: %v", operations)
		}
		if refused := blob.Asked[2]; refused.Provider != "qwen" || refused.State != "failed" || refused.Error.Code != problem.ProviderUnavailable || refused.Error.Retryable || !strings.Contains(refused.Error.Detail, "CAS_QWEN_API_KEY") {
			t.Errorf("%+v", refused)
		}
		release()
		for id := range operations {
			if o := s.waitOperation("/v1/operations/" + id); o.Status != api.OperationSucceeded || o.Copy.Extension != ".md" {
				t.Errorf("%+v", o)
			}
		}
		if status, blob := upload("PUT", s.path(d)+"?providers=kimi&name=x.md", "wanted at once"); status != 200 || blob.Asked[0].State != "ready" {
			t.Errorf("when it is there: %d %+v", status, blob)
		}
		// A blob that kimi refuses is stored nevertheless.
		for content, name := range map[string]string{strings.Repeat("long", 3000): "x.txt", "not for kimi": "x.exe", "": "x.txt"} {
			status, blob := upload("POST", "/v1/blobs?providers=kimi&name="+name, content)
			if status != 201 || blob.Asked[0].State != "failed" || blob.Asked[0].Error.Code != problem.ProviderRejected {
				t.Errorf("%s: %d %+v", name, status, blob)
			}
			s.wantBlob([]byte(content))
		}
		one, oneType := form([]byte("in a form"))
		a := s.do("POST", "/v1/blobs?providers=glm&name=f.txt", bytes.NewReader(one), "Content-Type", oneType)
		if a.StatusCode != 201 || len(decode[api.Blob](t, a).Asked) != 1 {
			t.Errorf("a form: %d %s", a.StatusCode, a.body)
		}
		count := s.blobCount()
		s.do("POST", "/v1/blobs?providers=kimi,absent", strings.NewReader("refused")).wantProblem(t, 404, problem.ProviderNotFound)
		s.do("PUT", s.path(cas.DigestOf([]byte("refused")))+"?providers=absent", strings.NewReader("refused")).wantProblem(t, 404, problem.ProviderNotFound)
		s.do("POST", "/v1/blobs?providers=kimi,,glm", strings.NewReader("refused")).wantProblem(t, 400, problem.InvalidRequest)
		s.do("POST", "/v1/blobs?providers=absent", bytes.NewReader(one), "Content-Type", oneType).wantProblem(t, 404, problem.ProviderNotFound)
		if got := s.blobCount(); got != count {
			t.Errorf("%d blobs were stored though they were refused", got-count)
		}
		// Nor is a body asked for that would be refused.
		w := s.dial(t)
		w.send("PUT %s?providers=absent HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", s.path(d), s.token)
		w.answer("PUT").wantProblem(t, 404, problem.ProviderNotFound)

		writer := "Bearer " + s.newToken(access.ScopeWrite)
		s.do("POST", "/v1/blobs?providers=kimi", strings.NewReader("x"), "Authorization", writer).wantProblem(t, 403, problem.Forbidden)
		s.do("POST", "/v1/blobs?providers=&providers=kimi", strings.NewReader("x"), "Authorization", writer).wantProblem(t, 403, problem.Forbidden)
		if a := s.do("POST", "/v1/blobs?providers=", strings.NewReader("x"), "Authorization", writer); a.StatusCode != 201 {
			t.Errorf("asking for none: %d %s", a.StatusCode, a.body)
		}
		both := "Bearer " + s.newToken(access.ScopeWrite, access.ScopeSync)
		if a := s.do("POST", "/v1/blobs?providers=kimi", strings.NewReader("y"), "Authorization", both); a.StatusCode != 201 {
			t.Errorf("with both scopes: %d %s", a.StatusCode, a.body)
		}
		wantNoPanic(t, s)
	})
}
