package gateway_test

import (
	"bytes"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// uploadQuery returns the query of an upload URL of the administrator for this digest.
func (s *server) uploadQuery(d cas.Digest) string {
	s.t.Helper()
	signed, err := s.client().UploadURL(s.t.Context(), client.UploadURLOptions{Filename: "mine.txt", Digest: &d})
	if err != nil {
		s.t.Fatal(err)
	}
	_, query, _ := strings.Cut(signed.URL, "?")
	return query
}

// uploadURL makes an upload URL by JSON, with a token.
func (s *server) uploadURL(token, body string) answer {
	s.t.Helper()
	return s.do("POST", "/v1/upload-urls", strings.NewReader(body), "Content-Type", "application/json", "Authorization", "Bearer "+token)
}

// putURL uploads at a URL without a token.
func (s *server) putURL(address, content string, headers ...string) answer {
	s.t.Helper()
	return s.do("PUT", address, strings.NewReader(content), append(headers, "Authorization", "-")...)
}

func TestUploadURL(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		token := s.newToken(access.ScopeWrite, access.ScopeSync)
		id := strings.Split(token, "_")[1]
		a := s.uploadURL(token, `{"filename":"年报.md","purpose":"file-extract","providers":["kimi"],"max_bytes":20,"expires_in":60}`)
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		signed := decode[api.UploadURL](t, a)
		if left := time.Until(signed.ExpiresAt); signed.Method != "PUT" || signed.Headers == nil || signed.MaxBytes != 20 || left < 50*time.Second || left > time.Minute || signed.Curl != "curl -T FILE '"+signed.URL+"'" {
			t.Errorf("%+v", signed)
		}
		made := decode[api.File](t, s.putURL(signed.URL, "# sent by URL"))
		if made.Filename != "年报.md" || made.Purpose != "file-extract" || made.Bytes != 13 || made.MediaType != "text/markdown; charset=utf-8" || len(made.Asked) != 1 {
			t.Errorf("%+v", made)
		}
		again := decode[api.File](t, s.putURL(signed.URL, "# sent by URL"))
		if again.ID != made.ID || *again.SHA256 != *made.SHA256 {
			t.Errorf("the same bytes again: %+v", again)
		}
		s.putURL(signed.URL, "other bytes").wantProblem(t, 422, problem.KeyReused)
		s.putURL(signed.URL, strings.Repeat("x", 21)).wantProblem(t, 413, problem.BlobTooLarge)
		long := s.do("PUT", signed.URL, chunked(bytes.Repeat([]byte("x"), 21)), "Authorization", "-")
		long.wantProblem(t, 413, problem.BlobTooLarge)
		eventually(t, "the uploads in the journal", func() bool {
			records, err := p.index.Records(t.Context(), journal.Query{Kind: journal.KindUpload, Actor: "url:" + id, Limit: 10})
			return err == nil && len(records) == 5
		})
		if err := p.index.RevokeToken(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		s.putURL(signed.URL, "# sent too late").wantProblem(t, 403, problem.Forbidden)
		if n := s.fileCount(); n != 1 {
			t.Errorf("%d files", n)
		}
		wantNoPanic(t, s)
	})
}

// A URL uploads one file, however often and by how many clients it is used at once. Another
// URL with the same bounds uploads another. After a delete, a URL is used up.
func TestUploadURLUploadsOneFile(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		one, other := decode[api.UploadURL](t, s.uploadURL(s.token, `{"filename":"a.txt"}`)), decode[api.UploadURL](t, s.uploadURL(s.token, `{"filename":"a.txt"}`))
		var answers [4]answer
		var senders sync.WaitGroup
		for i := range answers {
			senders.Go(func() {
				var err error
				if answers[i], err = s.try("PUT", one.URL, strings.NewReader("text"), "Authorization", "-"); err != nil {
					t.Error(err)
				}
			})
		}
		senders.Wait()
		first := decode[api.File](t, answers[0]).ID
		for _, a := range answers {
			if id := decode[api.File](t, a).ID; id != first {
				t.Errorf("one URL uploaded %s and %s", first, id)
			}
		}
		if f := decode[api.File](t, s.putURL(other.URL, "text")); f.ID == first {
			t.Error("two URLs uploaded one file")
		}
		if n := s.fileCount(); n != 2 {
			t.Errorf("%d files", n)
		}
		s.do("DELETE", "/v1/files/"+first, nil)
		a := s.putURL(one.URL, "text")
		if a.wantProblem(t, 404, problem.FileNotFound); !strings.Contains(string(a.body), "ask for another URL") {
			t.Errorf("%s", a.body)
		}
	})
}

// Whatever is changed in an upload URL, it is no longer valid.
func TestChangedUploadURL(t *testing.T) {
	s, _ := startCopier(t, embedded(t, t.TempDir()), nil, nil)
	d := cas.DigestOf([]byte("x"))
	signed, err := s.client().UploadURL(t.Context(), client.UploadURLOptions{Filename: "a.txt", Digest: &d, Providers: []string{"kimi"}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed.URL)
	if err != nil {
		t.Fatal(err)
	}
	other := cas.DigestOf([]byte("y")).String()
	for name, value := range map[string]string{
		"id": "other", "token": "other", "filename": "b.txt", "purpose": "batch", "max_bytes": "999999999", "digest": other, "providers": "glm",
		"expires": "99999999999", "key": "other", "signature": strings.Repeat("A", 43),
	} {
		for change, edit := range map[string]func(url.Values){
			"changed": func(q url.Values) { q.Set(name, value) },
			"missing": func(q url.Values) { q.Del(name) },
			"twice":   func(q url.Values) { q.Add(name, q.Get(name)) },
			"empty":   func(q url.Values) { q.Set(name, "") },
		} {
			q := u.Query()
			edit(q)
			changed := *u
			changed.RawQuery = q.Encode()
			if a := s.putURL(changed.String(), "x"); a.StatusCode != 403 {
				t.Errorf("%s %s: %d %s", name, change, a.StatusCode, a.body)
			}
		}
	}
	s.putURL(signed.URL, "y").wantProblem(t, 422, problem.DigestMismatch)
	if a := s.putURL(signed.URL, "x"); a.StatusCode != 200 {
		t.Errorf("unchanged: %d %s", a.StatusCode, a.body)
	}
	if a := s.do("GET", s.path(d)+"?"+u.RawQuery, nil, "Authorization", "-"); a.StatusCode != 403 {
		t.Errorf("an upload URL reads: %d", a.StatusCode)
	}
}

func TestWrongUploadURL(t *testing.T) {
	s, _ := startCopier(t, embedded(t, t.TempDir()), nil, nil)
	for body, param := range map[string]string{
		`{}`: "filename", `{"filename":"x","purpose":"dance"}`: "purpose", `{"filename":"x","expires_in":0}`: "expires_in",
		`{"filename":"x","expires_in":3601}`: "expires_in", `{"filename":"x","max_bytes":0}`: "max_bytes", `{"filename":"x","max_bytes":99999999999}`: "max_bytes",
	} {
		a := s.uploadURL(s.token, body)
		a.wantProblem(t, 400, problem.InvalidRequest)
		a.wantErrorObject(t, problem.InvalidRequest, param)
		if !strings.Contains(string(a.body), param) {
			t.Errorf("%s: %s doesn't name %s", body, a.body, param)
		}
	}
	s.uploadURL(s.token, `{"filename":"x","providers":["nowhere"]}`).wantProblem(t, 404, problem.ProviderNotFound)
	s.uploadURL(s.newToken(access.ScopeRead), `{"filename":"x"}`).wantProblem(t, 403, problem.Forbidden)
	s.uploadURL(s.newToken(access.ScopeWrite), `{"filename":"x","providers":["kimi"]}`).wantProblem(t, 403, problem.Forbidden)
}

// A URL of a gateway without authentication is good there alone.
func TestUploadURLWithoutAuthentication(t *testing.T) {
	p := embedded(t, t.TempDir())
	open := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true })
	signed := decode[api.UploadURL](t, open.uploadURL("x", `{"filename":"x.txt"}`))
	if a := open.putURL(signed.URL, "x"); a.StatusCode != 200 {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
	closed := start(t, p, nil)
	closed.putURL(strings.Replace(signed.URL, open.url, closed.url, 1), "x").wantProblem(t, 403, problem.Forbidden)
}
