package gateway_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
	"casgate/providers/replicator"
)

// audit compares a gateway's journal with the requests made.
type audit struct {
	*server
	want map[string]api.Record // by id
}

func newAudit(s *server) audit { return audit{s, map[string]api.Record{}} }

// actor is the owner of a token.
func actor(token string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(token, "cas_"), "_")
	return "token:" + id
}

// expect notes that a record is to be left under an id.
func (a audit) expect(id string, r api.Record) {
	a.t.Helper()
	if r.ID = id; id == "" {
		a.t.Fatal("a record without an id can't be expected")
	}
	if _, twice := a.want[id]; twice {
		a.t.Fatalf("a second operation %s", id)
	}
	if r.Actor == "" {
		r.Actor = actor(a.token)
	}
	if r.Outcome == "" {
		r.Outcome = "ok"
	}
	a.want[id] = r
}

// of notes that an exchange is to leave a record, and returns the exchange.
func (a audit) of(x answer, r api.Record) answer {
	a.t.Helper()
	a.expect(x.Header.Get("X-Request-Id"), r)
	return x
}

// check waits until the journal has as many records as are expected, and compares
// them. Each operation is in the log under its id, too.
func (a audit) check() {
	a.t.Helper()
	eventually(a.t, "all to be stored", func() bool { return int(a.journal.Stored()) >= len(a.want) })
	page := decode[api.RecordPage](a.t, a.do("GET", "/v1/operations?limit=1000", nil))
	if page.Lost != 0 || page.Next != "" || len(page.Operations) != len(a.want) {
		a.t.Errorf("%d records, want %d; %d lost", len(page.Operations), len(a.want), page.Lost)
	}
	left := maps.Clone(a.want)
	logs := a.logs.String()
	for _, got := range page.Operations {
		want, ok := left[got.ID]
		if !ok {
			a.t.Errorf("a record that nothing was to leave, or a second one: %+v", got)
			continue
		}
		delete(left, got.ID)
		if got.StartedAt.IsZero() || time.Since(got.StartedAt) > time.Minute || got.DurationMS < 0 || got.DurationMS > 60_000 {
			a.t.Errorf("begun %s, took %v ms: %+v", got.StartedAt, got.DurationMS, got)
		}
		got.StartedAt, got.DurationMS = time.Time{}, 0
		if diff := cmp.Diff(want, got); diff != "" {
			a.t.Errorf("a record (-want +got):\n%s", diff)
		}
		if !strings.Contains(logs, `"operation_id":"`+got.ID+`"`) {
			a.t.Errorf("the log doesn't know of operation %s: %+v", got.ID, got)
		}
	}
	for _, want := range left {
		a.t.Errorf("there is no record of %+v", want)
	}
}

func TestEachOperationLeavesOneRecord(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, func(o *replicator.Options) {
			oneAttempt(o)
			o.Providers[1].(reader).about.Host = "127.0.0.1" // so it can reach the gateway's URLs
		}, nil)
		a := newAudit(s)
		b := []byte("some text to be kept")
		d := cas.DigestOf(b)
		absent := cas.DigestOf([]byte("never uploaded"))

		// Uploads.
		a.of(s.do("PUT", s.path(d)+"?name=x.txt", bytes.NewReader(b)), api.Record{Kind: "upload", Digest: &d, Bytes: 20})
		a.of(s.do("POST", "/v1/blobs", bytes.NewReader(b)), api.Record{Kind: "upload", Digest: &d, Bytes: 20})
		body, contentType := form(b)
		a.of(s.do("POST", "/v1/blobs", bytes.NewReader(body), "Content-Type", contentType), api.Record{Kind: "upload", Digest: &d, Bytes: int64(len(body))})
		a.of(s.do("PUT", s.path(absent), bytes.NewReader(b)), api.Record{Kind: "upload", Digest: &absent, Bytes: 20, Outcome: "failed", ErrorCode: "digest_mismatch"})
		a.of(s.do("PUT", "/v1/blobs/sha256:0", bytes.NewReader(b)), api.Record{Kind: "upload", Outcome: "failed", ErrorCode: "invalid_digest"})
		reader := s.newToken(access.ScopeRead)
		a.of(s.do("PUT", s.path(d), bytes.NewReader(b), "Authorization", "Bearer "+reader),
			api.Record{Kind: "upload", Digest: &d, Actor: actor(reader), Outcome: "failed", ErrorCode: "forbidden"})

		// Downloads.
		a.of(s.do("GET", s.path(d), nil), api.Record{Kind: "download", Digest: &d, Bytes: 20})
		a.of(s.do("GET", s.path(d), nil, "Range", "bytes=1-4", "Authorization", "Bearer "+reader), api.Record{Kind: "download", Digest: &d, Actor: actor(reader), Bytes: 4})
		a.of(s.do("GET", s.path(d), nil, "Range", "bytes=99-"), api.Record{Kind: "download", Digest: &d, Outcome: "failed", ErrorCode: "range_not_satisfiable"})
		a.of(s.do("GET", s.path(absent), nil), api.Record{Kind: "download", Digest: &absent, Outcome: "failed", ErrorCode: "blob_not_found"})
		signed := decode[api.SignedURL](t, s.do("POST", s.path(d)+"/url", strings.NewReader(`{"expires_in":60}`)))
		a.expect(keyRecord(t, s), api.Record{Kind: "signing-key-created", Actor: "gateway"})
		a.of(s.do("GET", signed.URL, nil, "Authorization", "-"), api.Record{Kind: "download", Digest: &d, Actor: "url", Bytes: 20})

		// Copies.
		sync := api.Record{Kind: "sync", Digest: &d, Provider: "kimi"}
		made := sync
		made.Bytes = 20
		a.of(s.do("PUT", s.copyPath(d, "kimi"), nil), made)
		a.of(s.do("PUT", s.copyPath(d, "kimi"), nil), sync)
		a.of(s.do("GET", s.path(d)+"/references/kimi?kind=file_id", nil), sync)
		s.do("GET", s.path(d)+"/references/kimi?kind=url", nil)
		a.of(s.do("GET", s.path(d)+"/references/kimi?kind=image_url", nil), api.Record{Kind: "sync", Digest: &d, Provider: "kimi", Outcome: "failed", ErrorCode: "provider_rejected"})
		a.of(s.do("POST", s.copyPath(d, "kimi")+"/lost", nil), sync)
		kimi.forget(kimi.ids()[0])
		a.of(s.do("POST", s.copyPath(d, "kimi")+"/lost", nil), made)
		a.of(s.do("PUT", s.copyPath(d, "absent"), nil), api.Record{Kind: "sync", Digest: &d, Provider: "absent", Outcome: "failed", ErrorCode: "provider_not_found"})
		kimi.breaks(providers.OpUpload, &providers.Error{Provider: "kimi", Op: providers.OpUpload, Kind: providers.KindPermanent, Status: 400})
		a.of(s.do("PUT", s.copyPath(d, "kimi")+"?name=y.md", nil), api.Record{Kind: "sync", Digest: &d, Provider: "kimi", Outcome: "failed", ErrorCode: "provider_rejected"})
		kimi.breaks(providers.OpUpload, nil)
		text := s.do("GET", s.path(d)+"/text", nil)
		a.of(text, api.Record{Kind: "download", Digest: &d, Provider: "kimi", Bytes: int64(len(text.body))})
		a.of(s.do("POST", "/v1/providers/kimi/reconcile", nil), api.Record{Kind: "reconcile", Provider: "kimi"})
		kimi.breaks(providers.OpList, &providers.Error{Provider: "kimi", Op: providers.OpList, Kind: providers.KindAuth, Status: 401})
		a.of(s.do("POST", "/v1/providers/kimi/reconcile?apply=true", nil), api.Record{Kind: "reconcile", Provider: "kimi", Outcome: "failed", ErrorCode: "provider_failed"})
		kimi.breaks(providers.OpList, nil)
		a.of(s.do("DELETE", s.copyPath(d, "kimi"), nil), api.Record{Kind: "unsync", Digest: &d, Provider: "kimi"})
		a.of(s.do("DELETE", s.copyPath(d, "kimi"), nil), api.Record{Kind: "unsync", Digest: &d, Provider: "kimi", Outcome: "failed", ErrorCode: "copy_not_found"})

		// Deletes.
		a.of(s.do("DELETE", s.path(d), nil), api.Record{Kind: "delete", Digest: &d})
		a.of(s.do("DELETE", s.path(d), nil), api.Record{Kind: "delete", Digest: &d, Outcome: "failed", ErrorCode: "blob_not_found"})

		// Reads of metadata, and requests without permission, leave no record.
		a.of(s.do("PUT", s.path(d), bytes.NewReader(b)), api.Record{Kind: "upload", Digest: &d, Bytes: 20})
		for _, look := range []string{
			"GET /healthz", "GET /readyz", "GET /openapi.yaml", "GET /v1/blobs", "HEAD " + s.path(d), "GET " + s.path(d) + "/meta", "GET " + s.path(d) + "/copies",
			"GET /v1/providers", "GET /v1/providers/kimi", "GET /v1/operations", "GET /v1/operations/" + newID(), "GET /v1/files", "GET /nothing", "PATCH /v1/blobs",
		} {
			method, path, _ := strings.Cut(look, " ")
			s.do(method, path, nil)
		}
		s.do("POST", "/v1/blobs/find-missing", strings.NewReader(`{"digests":[]}`))
		s.do("GET", s.path(d), nil, "If-None-Match", `"`+d.String()+`"`)
		s.do("GET", s.path(d), nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
		s.do("DELETE", s.path(d), nil, "Authorization", "Bearer nonsense").wantProblem(t, 401, problem.Unauthenticated)
		s.do("GET", strings.Replace(signed.URL, "signature=", "signature=x", 1), nil, "Authorization", "-").wantProblem(t, 403, problem.Forbidden)
		a.check()
	})
}

// keyRecord returns the id of the operation that made the first key for signed URLs.
func keyRecord(t *testing.T, s *server) (id string) {
	t.Helper()
	keys, err := s.parts.index.SigningKeys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Fatalf("%+v, %v", keys, err)
	}
	eventually(t, "the key's record", func() bool {
		page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=signing-key-created", nil))
		if len(page.Operations) == 1 {
			id = page.Operations[0].ID
		}
		return strings.HasSuffix(id, "."+keys[0].ID)
	})
	return id
}

func TestFilesLeaveRecords(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		a := newAudit(s)
		content := []byte("the bytes of a file")
		d := cas.DigestOf(content)
		body, contentType := fileForm(t, "f.txt", content)
		created := s.do("POST", "/v1/files?providers=kimi", bytes.NewReader(body), "Content-Type", contentType)
		file := decode[api.File](t, created)
		if created.StatusCode != 200 {
			t.Fatalf("%d %s", created.StatusCode, created.body)
		}
		a.of(created, api.Record{Kind: "upload", Digest: &d, FileID: file.ID, Bytes: int64(len(body))})
		a.expect(created.Header.Get("X-Request-Id")+".kimi", api.Record{Kind: "sync", Digest: &d, FileID: file.ID, Provider: "kimi", Bytes: 19})
		s.waitOperation("/v1/operations/" + created.Header.Get("X-Request-Id") + ".kimi")
		path := "/v1/files/" + file.ID
		s.do("GET", path, nil)
		a.of(s.do("GET", path+"/content", nil), api.Record{Kind: "download", Digest: &d, FileID: file.ID, Bytes: 19})
		a.of(s.do("PUT", path+"/copies/kimi", nil), api.Record{Kind: "sync", Digest: &d, FileID: file.ID, Provider: "kimi"})
		a.of(s.do("DELETE", path+"/copies/kimi", nil), api.Record{Kind: "unsync", Digest: &d, FileID: file.ID, Provider: "kimi"})
		text := s.do("GET", path+"/text", nil)
		a.of(text, api.Record{Kind: "download", Digest: &d, FileID: file.ID, Provider: "kimi", Bytes: 19})
		a.expect(text.Header.Get("X-Request-Id")+".kimi", api.Record{Kind: "sync", Digest: &d, FileID: file.ID, Provider: "kimi", Bytes: 19})
		a.of(s.do("DELETE", path, nil), api.Record{Kind: "delete", Digest: &d, FileID: file.ID})
		a.of(s.do("DELETE", path, nil), api.Record{Kind: "delete", FileID: file.ID, Outcome: "failed", ErrorCode: "file_not_found"})
		a.of(s.do("GET", path+"/content", nil), api.Record{Kind: "download", FileID: file.ID, Outcome: "failed", ErrorCode: "file_not_found"})
		a.check()
	})
}
