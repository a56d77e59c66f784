package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
	"casgate/providers"
	"casgate/providers/replicator"
)

func TestReferences(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("some text", "x.md")
		picture := cas.DigestOf([]byte("\x89PNG\r\n\x1a\n"))
		if a := s.do("PUT", s.path(picture)+"?name=p.png", strings.NewReader("\x89PNG\r\n\x1a\n"), "Content-Type", "image/png"); a.StatusCode != 201 {
			t.Fatal(a.StatusCode)
		}
		get := func(path string) (ref api.Reference, value map[string]string) {
			t.Helper()
			a := s.do("GET", path, nil)
			if a.StatusCode != 200 || a.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("%s: %d %s", path, a.StatusCode, a.body)
			}
			ref = decode[api.Reference](t, a)
			if err := json.Unmarshal(ref.Value, &value); err != nil {
				t.Fatal(err)
			}
			return ref, value
		}
		ref, value := get(s.path(d) + "/references/kimi")
		if ref.Kind != "text" || ref.Place != "message" || value["text"] != "SOME TEXT" || ref.Copy != nil || ref.Provider != "kimi" {
			t.Errorf("the usual one: %+v %v", ref, value)
		}
		ref, value = get(s.path(d) + "/references/kimi?kind=file_id")
		if ref.Copy == nil || value["file_id"] != ref.Copy.ProviderFileID || ref.Copy.State != "ready" {
			t.Errorf("by id: %+v %v", ref, value)
		}
		ref, value = get(s.path(picture) + "/references/kimi?purpose=image")
		if ref.Kind != "image_url" || value["image_url"] != ref.Copy.ProviderFileID || ref.ExpiresAt == nil || time.Until(*ref.ExpiresAt) < 47*time.Hour {
			t.Errorf("a picture: %+v %v", ref, value)
		}
		uploads := kimi.count(providers.OpUpload)
		ref, value = get(s.path(picture) + "/references/glm?kind=url")
		if ref.Copy != nil || ref.ExpiresAt == nil {
			t.Errorf("by URL: %+v", ref)
		}
		if a := s.do("GET", value["url"], nil, "Authorization", "-"); a.StatusCode != 200 || string(a.body) != "\x89PNG\r\n\x1a\n" {
			t.Errorf("%v: %d %s", value, a.StatusCode, a.body)
		}
		if n := kimi.count(providers.OpUpload); n != uploads {
			t.Error("a reference by URL has uploaded something")
		}
	})
}

func TestExtractedText(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("some text", "x.md")
		want := []byte("SOME TEXT")
		path := s.path(d) + "/text"
		first := s.do("GET", path, nil)
		if first.StatusCode != 200 || !bytes.Equal(first.body, want) {
			t.Fatalf("%d %s", first.StatusCode, first.body)
		}
		url := s.url + s.path(cas.DigestOf(want))
		for name, value := range map[string]string{
			"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "private, no-cache, no-transform", "ETag": `"` + cas.DigestOf(want).String() + `"`,
			"Content-Location": url, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff", "Content-Length": "9",
			"Content-Disposition": "inline; filename=\"x.txt\"", "Repr-Digest": reprDigest(cas.DigestOf(want)),
		} {
			if got := first.Header.Get(name); got != value {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
		}
		if a := s.do("GET", first.Header.Get("Content-Location"), nil); a.StatusCode != 200 || !bytes.Equal(a.body, want) {
			t.Errorf("as a blob of its own: %d %s", a.StatusCode, a.body)
		}
		if a := s.do("HEAD", path, nil); a.StatusCode != 200 || len(a.body) != 0 || a.Header.Get("Content-Length") != "9" || a.Header.Get("ETag") != first.Header.Get("ETag") {
			t.Errorf("HEAD: %d %v", a.StatusCode, a.Header)
		}
		if a := s.do("GET", path, nil, "Range", "bytes=5-"); a.StatusCode != 206 || string(a.body) != "TEXT" || a.Header.Get("Content-Range") != "bytes 5-8/9" {
			t.Errorf("Range: %d %s", a.StatusCode, a.body)
		}
		a := s.do("GET", path, nil, "If-None-Match", first.Header.Get("ETag"))
		if a.StatusCode != 304 || len(a.body) != 0 || a.Header.Get("Cache-Control") != "private, no-cache, no-transform" {
			t.Errorf("If-None-Match: %d", a.StatusCode)
		}
		s.do("GET", path, nil, "Range", "bytes=9-").wantProblem(t, 416, problem.RangeNotSatisfiable)

		// It outlives the remote file, the copy and the provider.
		for _, id := range kimi.ids() {
			kimi.forget(id)
		}
		kimi.breaks(providers.OpText, &providers.Error{Kind: providers.KindTransient, Status: 500})
		if a := s.do("DELETE", s.copyPath(d, "kimi"), nil); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		if a := s.do("GET", path+"?provider=kimi", nil); a.StatusCode != 200 || !bytes.Equal(a.body, want) {
			t.Errorf("afterwards: %d %s", a.StatusCode, a.body)
		}
		if texts, uploads := kimi.count(providers.OpText), kimi.count(providers.OpUpload); texts != 1 || uploads != 1 {
			t.Errorf("the text was asked for %d times, and the blob uploaded %d times", texts, uploads)
		}
		// Under another extension it is another text, which the provider doesn't give now.
		s.do("GET", path+"?name=x.txt", nil).wantProblem(t, 502, problem.ProviderFailed)
		kimi.breaks(providers.OpText, nil)
		// A text that was deleted is extracted anew.
		s.do("DELETE", s.path(cas.DigestOf(want)), nil)
		if a := s.do("GET", path, nil); a.StatusCode != 200 || !bytes.Equal(a.body, want) {
			t.Errorf("after the text was deleted: %d %s", a.StatusCode, a.body)
		}
		// The same bytes may be known as something else; here they are a text.
		json := s.putNamed(`{"a":1}`, "x.txt")
		if a := s.do("PUT", s.path(cas.DigestOf([]byte(`{"A":1}`))), strings.NewReader(`{"A":1}`), "Content-Type", "text/html"); a.StatusCode != 201 {
			t.Fatal(a.StatusCode)
		}
		if a := s.do("GET", s.path(json)+"/text", nil); a.Header.Get("Content-Type") != "text/plain; charset=utf-8" || a.StatusCode != 200 {
			t.Errorf("%d %v", a.StatusCode, a.Header)
		}
	})
}

func TestProvidersAndTheirHealth(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		small, other := s.putNamed("small", "x.txt"), s.putNamed("not copied yet", "x.txt")
		kept := s.ensure(small, "kimi")
		list := decode[api.ProviderList](t, s.do("GET", "/v1/providers", nil)).Providers
		if len(list) != 3 || list[0].Name != "glm" || list[1].Name != "kimi" || list[2].Name != "qwen" {
			t.Fatalf("%+v", list)
		}
		one := decode[api.Provider](t, s.do("GET", "/v1/providers/kimi", nil))
		if !one.Configured || !one.Available || one.Breaker != "closed" || one.Files != 1 || one.Bytes != 5 || one.MaxFiles != 1000 || one.Host != "api.example" || one.Account != kept.Account {
			t.Errorf("%+v", one)
		}
		if len(one.Purposes) != 2 || one.Purposes[0].Files != 1 || one.Purposes[0].MaxSize != 10_000 || one.Purposes[1].Lifetime != 48*60*60 {
			t.Errorf("%+v", one.Purposes)
		}
		if qwen := list[2]; qwen.Configured || qwen.Available || qwen.Advice != "set CAS_QWEN_API_KEY" {
			t.Errorf("%+v", qwen)
		}
		if health := decode[api.Health](t, s.do("GET", "/readyz", nil)); health.Providers["kimi"] != "ok" || health.Warning != "" {
			t.Errorf("%+v", health)
		}

		// The provider is down, and everything else goes on.
		kimi.change(func() {
			kimi.health = providers.Health{
				Breaker: providers.BreakerOpen, RetryAfter: 12 * time.Second, LastCheck: time.Now(),
				LastError: &providers.Error{Provider: "kimi", Op: providers.OpUpload, Kind: providers.KindTransient, Status: 500},
			}
		})
		uploads := kimi.count(providers.OpUpload)
		begun := time.Now()
		problem := s.do("PUT", s.copyPath(other, "kimi"), nil).wantProblem(t, 503, problem.ProviderUnavailable)
		if problem.RetryAfter != 12 || !problem.Retryable || problem.Provider != "kimi" || time.Since(begun) > 11*time.Second {
			t.Errorf("%+v after %v", problem, time.Since(begun))
		}
		if c := s.ensure(small, "kimi"); c.ProviderFileID != kept.ProviderFileID {
			t.Errorf("an existing copy: %+v", c)
		}
		s.wantBlob([]byte("small"))
		s.put(random(1000))
		s.ensure(other, "glm")
		if n := kimi.count(providers.OpUpload); n != uploads {
			t.Errorf("the provider was asked %d times", n-uploads)
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			a := s.do("GET", path, nil, "Authorization", "-")
			health := decode[api.Health](t, a)
			if a.StatusCode != 200 || health.Status != "ok" || !strings.HasPrefix(health.Providers["kimi"], "breaker open") || health.Providers["glm"] != "ok" {
				t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
			}
		}
		down := decode[api.Provider](t, s.do("GET", "/v1/providers/kimi", nil))
		if down.Available || down.Breaker != "open" || down.LastError == nil || down.LastError.Status != 500 || down.LastCheck == nil {
			t.Errorf("%+v", down)
		}
		// A copy requested in the background is made when the provider is back.
		path := s.operationOf(s.do("PUT", s.copyPath(other, "kimi"), nil, "Prefer", "respond-async"))
		kimi.change(func() { kimi.health = providers.Health{Available: true, Breaker: providers.BreakerClosed} })
		if o := s.waitOperation(path); o.Status != api.OperationSucceeded {
			t.Errorf("%+v", o)
		}
	})
}

func TestSimulatedProvidersAreCalledThat(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, func(o *replicator.Options) {
			simulated := newRemote("kimi")
			simulated.about.Simulated = true
			simulated.about.Account = "simulated-" + simulated.about.Account
			o.Providers = []providers.Guarded{reader{simulated}}
		}, nil)
		d := s.putNamed("not really there", "x.txt")
		if c := s.ensure(d, "kimi"); !c.Simulated {
			t.Errorf("%+v", c)
		}
		for _, path := range []string{"/references/kimi?kind=file_id", "/references/kimi"} {
			if ref := decode[api.Reference](t, s.do("GET", s.path(d)+path, nil)); !ref.Simulated {
				t.Errorf("%s: %+v", path, ref)
			}
		}
		if p := decode[api.Provider](t, s.do("GET", "/v1/providers/kimi", nil)); !p.Simulated {
			t.Errorf("%+v", p)
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			health := decode[api.Health](t, s.do("GET", path, nil))
			if health.Status != "ok" || health.Providers["kimi"] != "simulated" || !strings.Contains(health.Warning, "SIMULATED: kimi") {
				t.Errorf("%s: %+v", path, health)
			}
		}
	})
}

func TestReconcile(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		stays, goes := s.putNamed("stays", "x.txt"), s.putNamed("goes", "x.txt")
		s.ensure(stays, "kimi")
		gone := s.ensure(goes, "kimi")
		kimi.forget(gone.ProviderFileID)
		mark, err := p.index.Mark(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kimi.change(func() {
			left := providers.RemoteFile{ID: "left", Size: 3, Purpose: "file-extract"}
			left.Name = providers.RemoteName(mark, "left.txt", cas.DigestOf([]byte("old")), ".txt", 1)
			kimi.files["left"] = left
			other := providers.RemoteFile{ID: "other", Size: 4, Purpose: "file-extract"}
			other.Name = providers.RemoteName("cas0123456789", "left.txt", cas.DigestOf([]byte("old")), ".txt", 1)
			kimi.files["other"] = other
			kimi.files["foreign"] = providers.RemoteFile{ID: "foreign", Name: "holiday.txt", Size: 3, Purpose: "file-extract"}
		})
		reconcile := func(query string, headers ...string) api.Reconciliation {
			t.Helper()
			a := s.do("POST", "/v1/providers/kimi/reconcile"+query, nil, headers...)
			if a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			return decode[api.Reconciliation](t, a)
		}
		check := func(r api.Reconciliation, applied bool) {
			t.Helper()
			if r.Applied != applied || r.Remote != 4 || r.Rows != 2 || len(r.Unknown) != 1 || r.Unknown[0].ID != "left" || len(r.Gone) != 1 || r.Gone[0].Digest != goes || r.Foreign != 1 || r.Others.Files != 1 || r.Others.Bytes != 4 || r.Others.Examples[0].ID != "other" || len(r.Elsewhere) != 0 {
				t.Errorf("%+v", r)
			}
		}
		check(reconcile("", "Authorization", "Bearer "+s.newToken(access.ScopeSync, access.ScopeRead)), false)
		if ids := kimi.ids(); len(ids) != 4 {
			t.Fatalf("a dry run has left %v", ids)
		}
		kimi.breaks(providers.OpDelete, &providers.Error{Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindTransient, Status: 500})
		r := reconcile("?apply=true")
		check(r, true)
		if len(r.Failures) != 1 || !strings.Contains(r.Failures[0], "delete failed") {
			t.Errorf("%+v", r)
		}
		kimi.breaks(providers.OpDelete, nil)
		if r := reconcile("?apply=true"); len(r.Unknown) != 1 || len(r.Gone) != 0 || len(r.Failures) != 0 {
			t.Errorf("%+v", r)
		}
		if ids := kimi.ids(); len(ids) != 3 || ids[1] != "foreign" || ids[2] != "other" {
			t.Errorf("there are %v", ids)
		}
		if c := s.ensure(goes, "kimi"); !*c.Created {
			t.Errorf("%+v", c)
		}
		kimi.breaks(providers.OpList, &providers.Error{Provider: "kimi", Op: providers.OpList, Kind: providers.KindTransient, Code: providers.CodeTimeout})
		s.do("POST", "/v1/providers/kimi/reconcile", nil).wantProblem(t, 504, problem.ProviderTimeout)
	})
}

// A document without text is a problem with a code of its own. It leaves no empty blob.
func TestNoExtractedText(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		d := s.putNamed("a scan", "x.pdf.md")
		kimi.breaks(providers.OpText, &providers.Error{Kind: providers.KindPermanent, Code: providers.CodeNoText, Message: "found no text in the file"})
		a := s.do("GET", s.path(d)+"/text", nil)
		a.wantProblem(t, 422, problem.NoText)
		if !strings.Contains(string(a.body), `"retryable":false`) || !strings.Contains(string(a.body), "found no text") {
			t.Errorf("%s", a.body)
		}
		if a := s.do("HEAD", s.path(cas.DigestOf(nil)), nil); a.StatusCode != 404 {
			t.Errorf("an empty text was stored: %d", a.StatusCode)
		}
		c, err := client.New(s.url, client.Options{Token: s.token, Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Blob(d).Text(t.Context(), client.TextOptions{Provider: "kimi"})
		if !errors.Is(err, problem.NoText) {
			t.Errorf("the client's error: %v", err)
		}
	})
}

// A provider that reads a file by URL sees the file's own name and type, and not those of
// the blob, which other files have too.
func TestReferenceByURLShowsTheFile(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		const table = "plain words\n" // declared as a table
		d := cas.DigestOf([]byte(table))
		if a := s.do("PUT", s.path(d)+"?name=first.csv", strings.NewReader(table), "Content-Type", "text/csv"); a.StatusCode != 201 {
			t.Fatal(a.StatusCode)
		}
		file := s.newFile("年报 README.md", table)
		read := func(address string) answer {
			t.Helper()
			return s.do("GET", address, nil, "Authorization", "-")
		}
		urlOf := func(path string) string {
			t.Helper()
			a := s.do("GET", path+"/references/glm?kind=url", nil)
			if a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			ref := decode[api.Reference](t, a)
			var value struct{ URL string }
			if err := json.Unmarshal(ref.Value, &value); err != nil {
				t.Fatal(err)
			}
			return value.URL
		}
		ofFile := urlOf("/v1/files/" + file.ID)
		a := read(ofFile)
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/markdown; charset=utf-8" ||
			!strings.HasSuffix(a.Header.Get("Content-Disposition"), "''%E5%B9%B4%E6%8A%A5%20README.md") {
			t.Errorf("the file: %d %v", a.StatusCode, a.Header)
		}
		a = read(urlOf(s.path(d)))
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/csv" || !strings.Contains(a.Header.Get("Content-Disposition"), "first.csv") {
			t.Errorf("the blob: %d %v", a.StatusCode, a.Header)
		}
		read(strings.Replace(ofFile, "markdown", "html", 1)).wantProblem(t, 403, problem.Forbidden)
		if a := s.do("GET", s.path(d)+"?type=text/plain&name=x.txt", nil); a.Header.Get("Content-Type") != "text/csv" {
			t.Errorf("an unsigned type is shown: %v", a.Header)
		}
	})
}

// A blob has one URL for half a day, the same from every gateway.
func TestReferenceURLIsTheSameFromEveryGateway(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		same := func(o *gatewayOptions, _ *cas.Options) { o.PublicURL = "http://127.0.0.1:1" }
		one, _ := startCopier(t, p, nil, same)
		two := start(t, p, same)
		d := one.put([]byte("# the same"))
		get := func(s *server) api.Reference {
			a := s.do("GET", s.path(d)+"/references/glm?kind=url", nil)
			if a.StatusCode != 200 {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			return decode[api.Reference](t, a)
		}
		for {
			first, second := get(one), get(two)
			if !first.ExpiresAt.Equal(*second.ExpiresAt) {
				continue // a step ended in between, as it does twice a day
			}
			if string(first.Value) != string(second.Value) || time.Until(*first.ExpiresAt) < 24*time.Hour-time.Minute {
				t.Errorf("%s until %v, and from another gateway %s", first.Value, first.ExpiresAt, second.Value)
			}
			return
		}
	})
}
