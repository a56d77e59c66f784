package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/providers"
)

// audit compares the journal of a gateway with what was done there.
type audit struct {
	*server
	want map[string]api.Record // by id
}

func newAudit(s *server) audit { return audit{s, map[string]api.Record{}} }

// actor is who has a token.
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
		s, kimi := startCopier(t, p, oneAttempt, nil)
		a := newAudit(s)
		b := []byte("some text to be kept")
		d := cas.DigestOf(b)
		nobody := cas.DigestOf([]byte("nobody has it"))

		// Uploads.
		a.of(s.do("PUT", s.path(d)+"?name=x.txt", bytes.NewReader(b)), api.Record{Kind: "upload", Digest: &d, Bytes: 20})
		a.of(s.do("POST", "/v1/blobs", bytes.NewReader(b)), api.Record{Kind: "upload", Digest: &d, Bytes: 20})
		body, contentType := form(b)
		a.of(s.do("POST", "/v1/blobs", bytes.NewReader(body), "Content-Type", contentType), api.Record{Kind: "upload", Digest: &d, Bytes: int64(len(body))})
		a.of(s.do("PUT", s.path(nobody), bytes.NewReader(b)), api.Record{Kind: "upload", Digest: &nobody, Bytes: 20, Outcome: "failed", ErrorCode: "digest_mismatch"})
		a.of(s.do("PUT", "/v1/blobs/sha256:0", bytes.NewReader(b)), api.Record{Kind: "upload", Outcome: "failed", ErrorCode: "invalid_digest"})
		reader := s.newToken(access.ScopeRead)
		a.of(s.do("PUT", s.path(d), bytes.NewReader(b), "Authorization", "Bearer "+reader),
			api.Record{Kind: "upload", Digest: &d, Actor: actor(reader), Outcome: "failed", ErrorCode: "forbidden"})

		// Downloads.
		a.of(s.do("GET", s.path(d), nil), api.Record{Kind: "download", Digest: &d, Bytes: 20})
		a.of(s.do("GET", s.path(d), nil, "Range", "bytes=1-4", "Authorization", "Bearer "+reader), api.Record{Kind: "download", Digest: &d, Actor: actor(reader), Bytes: 4})
		a.of(s.do("GET", s.path(d), nil, "Range", "bytes=99-"), api.Record{Kind: "download", Digest: &d, Outcome: "failed", ErrorCode: "range_not_satisfiable"})
		a.of(s.do("GET", s.path(nobody), nil), api.Record{Kind: "download", Digest: &nobody, Outcome: "failed", ErrorCode: "blob_not_found"})
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
		a.of(s.do("PUT", s.copyPath(d, "nobody"), nil), api.Record{Kind: "sync", Digest: &d, Provider: "nobody", Outcome: "failed", ErrorCode: "provider_not_found"})
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

		// What only looks, and what isn't let in, leaves none.
		s.put(b)
		a.expect(lastID(s), api.Record{Kind: "upload", Digest: &d, Bytes: 20})
		for _, look := range []string{
			"GET /healthz", "GET /readyz", "GET /openapi.yaml", "GET /v1/blobs", "HEAD " + s.path(d), "GET " + s.path(d) + "/meta", "GET " + s.path(d) + "/copies",
			"GET /v1/providers", "GET /v1/providers/kimi", "GET /v1/operations", "GET /v1/operations/" + newID(), "GET /v1/files", "GET /nothing", "PATCH /v1/blobs",
		} {
			method, path, _ := strings.Cut(look, " ")
			s.do(method, path, nil)
		}
		s.do("POST", "/v1/blobs/find-missing", strings.NewReader(`{"digests":[]}`))
		s.do("GET", s.path(d), nil, "If-None-Match", `"`+d.String()+`"`)
		s.do("GET", s.path(d), nil, "Authorization", "-").wantProblem(t, 401, api.CodeUnauthenticated)
		s.do("DELETE", s.path(d), nil, "Authorization", "Bearer nonsense").wantProblem(t, 401, api.CodeUnauthenticated)
		s.do("GET", strings.Replace(signed.URL, "signature=", "signature=x", 1), nil, "Authorization", "-").wantProblem(t, 403, api.CodeForbidden)
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

// lastID returns the id of the last request that the log knows.
func lastID(s *server) string {
	_, id, _ := strings.Cut(s.logs.String()[strings.LastIndex(s.logs.String(), `"operation_id":"`):], `:"`)
	id, _, _ = strings.Cut(id, `"`)
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

// What the gateway does with files by itself leaves records too.
func TestFilesTakenInAndExpiredLeaveRecords(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		lies := &drawer{objects: map[string]string{"a.txt": "imported text"}, opened: map[string]int{}}
		p.sources = []cas.Source{lies}
		s, _ := startCopier(t, p, nil, nil)
		a := newAudit(s)
		there, missing := p.imported(t, "a.txt", 13, cas.Digest{}), p.imported(t, "b.txt", 5, cas.Digest{})
		d := cas.DigestOf([]byte("imported text"))
		a.of(s.do("GET", "/v1/files/"+there+"/content", nil), api.Record{Kind: "download", Digest: &d, FileID: there, Bytes: 13})
		a.of(s.do("GET", "/v1/files/"+missing+"/content", nil), api.Record{Kind: "download", FileID: missing, Outcome: "failed", ErrorCode: "object_missing"})
		byItself := func(query string) (id string) {
			eventually(t, query, func() bool {
				page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?"+query, nil))
				if len(page.Operations) == 1 {
					id = page.Operations[0].ID
				}
				return id != ""
			})
			return id
		}
		a.expect(byItself("kind=backfill&outcome=ok"), api.Record{Kind: "backfill", Actor: "gateway", Digest: &d, FileID: there, Bytes: 13})
		a.expect(byItself("kind=backfill&outcome=failed"),
			api.Record{Kind: "backfill", Actor: "gateway", FileID: missing, Outcome: "failed", ErrorCode: "object_missing"})

		soon := time.Now().Add(300 * time.Millisecond)
		short, err := p.index.CreateFile(t.Context(), cas.File{
			ID: cas.NewFileID(), Digest: d, Size: 13, Name: "x.txt", MediaType: "text/plain", Purpose: "user_data", ExpiresAt: soon,
		}, false)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file's end", func() bool { return s.do("GET", "/v1/files/"+short.ID, nil).StatusCode == 404 })
		background(t, s.files.Run)
		a.expect(byItself("kind=expire"), api.Record{Kind: "expire", Actor: "gateway", Digest: &d, FileID: short.ID})
		a.check()
	})
}

// What goes on behind answers leaves its record when it ends, under the id that the
// answer gave, and by whom it was asked for.
func TestWorkBehindAnswersLeavesOneRecord(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, oneAttempt, nil)
		a := newAudit(s)
		ref := func(d cas.Digest) *cas.Digest { return &d }
		put := func(content string) cas.Digest {
			d := s.putNamed(content, "x.txt")
			a.expect(lastID(s), api.Record{Kind: "upload", Digest: &d, Bytes: int64(len(content))})
			return d
		}
		record := func(d cas.Digest, size int64) api.Record {
			return api.Record{Kind: "sync", Digest: &d, Provider: "kimi", Bytes: size}
		}
		// Not waited for.
		d := put("in the background")
		release := kimi.holdUploads(t)
		begun := a.of(s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async"), record(d, 17))
		// Another who asks gets that operation, and leaves a record of having asked.
		a.of(s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async"), record(d, 0))
		release()
		s.waitOperation(s.operationOf(begun))

		// Waited for, for a while.
		d = put("it takes longer")
		release = kimi.holdUploads(t)
		left := a.of(s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "wait=1"), record(d, 15))
		release()
		s.waitOperation(s.operationOf(left))
		d = put("it takes longer for a reference")
		release = kimi.holdUploads(t)
		a.of(s.do("GET", s.path(d)+"/references/kimi?kind=file_id", nil, "Prefer", "wait=1"), record(d, 31)).wantProblem(t, 409, api.CodeCopyInProgress)
		release()

		// Left by its client.
		d = put("left alone")
		release = kimi.holdUploads(t)
		before := kimi.count(providers.OpUpload)
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "PUT", s.url+s.copyPath(d, "kimi"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.token)
		ended := make(chan error, 1)
		go func() { _, err := http.DefaultClient.Do(req); ended <- err }()
		eventually(t, "the upload to begin", func() bool { return kimi.count(providers.OpUpload) > before })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		eventually(t, "the gateway to notice", func() bool { return strings.Contains(s.logs.String(), `"status":499`) })
		a.expect(decode[api.Copy](t, s.do("GET", s.copyPath(d, "kimi"), nil)).OperationID, record(d, 10))
		release()

		// Asked for by an upload.
		content := "wanted at once"
		up := s.do("POST", "/v1/blobs?name=x.txt&providers=kimi,glm,qwen", strings.NewReader(content))
		d = cas.DigestOf([]byte(content))
		a.of(up, api.Record{Kind: "upload", Digest: ref(d), Bytes: 14})
		for _, asked := range decode[api.Blob](t, up).Asked {
			want := api.Record{Kind: "sync", Digest: ref(d), Provider: asked.Provider, Bytes: 14}
			if asked.Provider == "qwen" {
				want.Bytes, want.Outcome, want.ErrorCode = 0, "failed", "provider_unavailable"
			} else {
				s.waitOperation("/v1/operations/" + asked.OperationID)
			}
			a.expect(up.Header.Get("X-Request-Id")+"."+asked.Provider, want)
			if asked.Provider != "qwen" {
				s.waitOperation("/v1/operations/" + asked.OperationID) // before uploads are refused
			}
		}

		// Given up.
		d = put("to be refused")
		kimi.breaks(providers.OpUpload, &providers.Error{Provider: "kimi", Op: providers.OpUpload, Kind: providers.KindPermanent, Status: 400, Code: "content_filter"})
		refused := a.of(s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async"),
			api.Record{Kind: "sync", Digest: ref(d), Provider: "kimi", Outcome: "failed", ErrorCode: "provider_rejected"})
		s.waitOperation(s.operationOf(refused))
		kimi.breaks(providers.OpUpload, nil)

		// Deleted, later.
		d = put("to go")
		a.of(s.do("PUT", s.copyPath(d, "kimi"), nil), record(d, 5))
		a.of(s.do("PUT", s.copyPath(d, "kimi")+"?name=x.md", nil), record(d, 5))
		kimi.breaks(providers.OpDelete, &providers.Error{Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindTransient, Status: 503})
		deleting := a.of(s.do("DELETE", s.copyPath(d, "kimi"), nil), api.Record{Kind: "unsync", Digest: ref(d), Provider: "kimi"})
		kimi.breaks(providers.OpDelete, nil)
		s.waitOperation(s.operationOf(deleting))
		a.check()
		wantNoPanic(t, s)
	})
}

func TestEvictionsLeaveRecords(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, oneAttempt, nil)
		kimi.about.MaxFiles = 1
		first, second := s.putNamed("first", "x.txt"), s.putNamed("second", "x.txt")
		s.ensure(first, "kimi")
		s.ensure(second, "kimi")
		eventually(t, "four records and the eviction's", func() bool { return s.journal.Stored() == 5 })
		page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=evict", nil))
		if len(page.Operations) != 1 {
			t.Fatalf("%+v", page)
		}
		got := page.Operations[0]
		if *got.Digest != first || got.Provider != "kimi" || got.Actor != "gateway" || got.Outcome != "ok" {
			t.Errorf("%+v", got)
		}
		if !strings.Contains(s.logs.String(), `"operation_id":"`+got.ID+`"`) {
			t.Error("the log doesn't know of it")
		}
		if o := decode[api.Operation](t, s.do("GET", "/v1/operations/"+got.ID, nil)); o.Kind != "evict" || o.Status != "succeeded" || o.Record.ID != got.ID {
			t.Errorf("%+v", o)
		}
		kimi.breaks(providers.OpDelete, &providers.Error{Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindAuth, Status: 401})
		s.do("PUT", s.copyPath(first, "kimi"), nil)
		eventually(t, "the eviction that failed", func() bool {
			page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=evict&outcome=failed", nil))
			return len(page.Operations) == 1 && *page.Operations[0].Digest == second && page.Operations[0].ErrorCode == "provider_failed"
		})
	})
}

// What breaks off says so, and what the gateway is to blame for is a failure.
func TestRecordsOfWhatBreaksOff(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(_ *gatewayOptions, so *cas.Options) { so.VerifiedFor, so.HotBlobSize = 0, -1 })
		big := random(16 << 20)
		d := s.put(big)
		only := func(query string) (r api.Record) {
			eventually(t, query, func() bool {
				page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?"+query, nil))
				if len(page.Operations) > 1 {
					t.Fatalf("%+v", page.Operations)
				}
				if len(page.Operations) == 1 {
					r = page.Operations[0]
				}
				return len(page.Operations) == 1
			})
			return r
		}
		w := s.dial(t)
		w.send("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\nonly this", s.path(cas.DigestOf(nil)), s.token)
		w.Close()
		if r := only("kind=upload&outcome=broken-off"); r.Bytes != 9 || *r.Digest != cas.DigestOf(nil) || r.ErrorCode != "" && r.ErrorCode != "invalid_request" {
			t.Errorf("%+v", r)
		}
		w = s.dial(t)
		w.send("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", s.path(d), s.token)
		if _, err := io.ReadFull(w, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if r := only("kind=download&outcome=broken-off"); r.Bytes < 500 || r.Bytes >= int64(len(big)) || r.ErrorCode != "" {
			t.Errorf("%+v", r)
		}
		p.damage(t, d)
		if _, err := s.try("GET", s.path(d), nil); err == nil {
			t.Error("the damaged blob arrived whole")
		}
		if r := only("kind=download&outcome=failed"); r.ErrorCode != "object_corrupt" || *r.Digest != d {
			t.Errorf("%+v", r)
		}
	})
}

func TestOperationsAreFilteredAndPaged(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		other := s.newToken(access.ScopeRead, access.ScopeWrite)
		var digests []cas.Digest
		for range 5 {
			digests = append(digests, s.put(random(10)))
		}
		middle := time.Now()
		for _, d := range digests {
			s.do("GET", s.path(d), nil, "Authorization", "Bearer "+other)
		}
		s.do("GET", s.path(cas.DigestOf([]byte("none"))), nil)
		eventually(t, "all to be stored", func() bool { return s.journal.Stored() == 11 })
		list := func(query string) []api.Record {
			t.Helper()
			var all []api.Record
			after := ""
			for {
				a := s.do("GET", "/v1/operations?"+query+after, nil)
				if a.StatusCode != 200 {
					t.Fatalf("%s: %d %s", query, a.StatusCode, a.body)
				}
				page := decode[api.RecordPage](t, a)
				all = append(all, page.Operations...)
				if page.Next == "" {
					return all
				}
				after = "&after=" + url.QueryEscape(page.Next)
			}
		}
		whole := list("")
		at := url.QueryEscape(middle.Format(time.RFC3339Nano))
		for query, want := range map[string]int{
			"": 11, "kind=upload": 5, "kind=download": 6, "kind=scrub": 0, "actor=" + actor(other): 5, "actor=" + actor(s.token): 6, "actor=x": 0,
			"digest=" + digests[2].String(): 2, "outcome=failed": 1, "outcome=broken-off": 0, "provider=kimi": 0, "file=file-x": 0,
			"since=" + at: 6, "until=" + at: 5, "since=" + at + "&until=" + at: 0, "kind=download&outcome=ok&actor=" + actor(other) + "&digest=" + digests[0].String(): 1,
		} {
			for _, limit := range []string{"", "&limit=1", "&limit=4", "&limit=1000"} {
				got := list(query + limit)
				if len(got) != want {
					t.Errorf("%s%s: %d records, want %d", query, limit, len(got), want)
				}
				if query == "" && cmp.Diff(got, whole) != "" {
					t.Errorf("%s: in another order", limit)
				}
			}
		}
		if !slices.IsSortedFunc(whole[:6], func(a, b api.Record) int { return b.StartedAt.Compare(a.StartedAt) }) {
			t.Error("the newest don't come first")
		}
		// Following, from an empty beginning and from a place.
		page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=delete", nil))
		if len(page.Operations) != 0 || page.Newest != "0" {
			t.Errorf("%+v", page)
		}
		newest := decode[api.RecordPage](t, s.do("GET", "/v1/operations?limit=1", nil)).Newest
		if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?following="+newest, nil)); len(page.Operations) != 0 || page.Newest != newest {
			t.Errorf("%+v", page)
		}
		s.put(random(10))
		s.do("DELETE", s.path(digests[0]), nil)
		eventually(t, "two more", func() bool { return s.journal.Stored() == 13 })
		if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?following="+newest, nil)); len(page.Operations) != 2 || page.Operations[0].Kind != "delete" {
			t.Errorf("%+v", page)
		}
		if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=delete&following=0", nil)); len(page.Operations) != 1 {
			t.Errorf("%+v", page)
		}
		// Any operation can be looked up, and only what leads to it.
		o := decode[api.Operation](t, s.do("GET", "/v1/operations/"+whole[0].ID, nil))
		if o.ID != whole[0].ID || o.Kind != "download" || o.Status != "failed" || o.Error.Code != api.CodeBlobNotFound || o.Record.Actor != actor(s.token) {
			t.Errorf("%+v", o)
		}
		o = decode[api.Operation](t, s.do("GET", "/v1/operations/"+whole[10].ID, nil))
		if o.Kind != "upload" || o.Status != "succeeded" || o.Error != nil || *o.Record.Digest != digests[0] {
			t.Errorf("%+v", o)
		}
		for _, bad := range []string{
			"limit=0", "limit=1001", "limit=x", "kind=nothing", "outcome=bad", "since=yesterday", "until=1", "since=0001-01-01T00:00:00Z", "after=-1", "after=!", "following=%00",
			"actor=%00", "actor=%ff", "file=" + strings.Repeat("x", 300),
		} {
			s.do("GET", "/v1/operations?"+bad, nil).wantProblem(t, 400, api.CodeInvalidRequest)
		}
		s.do("GET", "/v1/operations?digest=abc", nil).wantProblem(t, 400, api.CodeInvalidDigest)
		s.do("GET", "/v1/operations", nil, "Authorization", "-").wantProblem(t, 401, api.CodeUnauthenticated)
		s.do("GET", "/v1/operations", nil, "Authorization", "Bearer "+s.newToken(access.ScopeWrite)).wantProblem(t, 403, api.CodeForbidden)
		s.do("GET", "/v1/operations", nil, "Authorization", "Bearer "+other)
		wantNoPanic(t, s)
	})
}

func TestActorsWithoutTokens(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		b := []byte("for everybody")
		d := cas.DigestOf(b)
		for who, change := range map[string]func(*gatewayOptions, *cas.Options){
			"none":   func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true },
			"public": func(o *gatewayOptions, _ *cas.Options) { o.PublicRead = true },
		} {
			s := start(t, p, change)
			s.put(b)
			s.do("GET", s.path(d), nil, "Authorization", "-")
			eventually(t, "both to be stored", func() bool { return s.journal.Stored() == 2 })
			if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=download&actor="+who, nil)); len(page.Operations) != 1 {
				t.Errorf("%s: %+v", who, page)
			}
		}
	})
}

// A gateway without a journal works as any, and shows what others have recorded.
func TestWithoutAJournal(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		silent := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.Journal = nil })
		s.put([]byte("recorded"))
		silent.put([]byte("unrecorded"))
		eventually(t, "the record", func() bool { return s.journal.Stored() == 1 })
		for _, at := range []*server{s, silent} {
			if page := decode[api.RecordPage](t, at.do("GET", "/v1/operations", nil)); len(page.Operations) != 1 || page.Lost != 0 {
				t.Errorf("%+v", page)
			}
		}
		none := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.Journal, o.Records = nil, nil })
		if page := decode[api.RecordPage](t, none.do("GET", "/v1/operations", nil)); len(page.Operations) != 0 {
			t.Errorf("%+v", page)
		}
		none.do("GET", "/v1/operations/"+newID(), nil).wantProblem(t, 404, api.CodeOperationNotFound)
	})
}

// While the index is away operations are recorded as far as the queue goes; the
// rest is counted, and nobody waits.
func TestIndexAwayAndTheJournal(t *testing.T) {
	t.Parallel()
	p := served(t)
	p.journal = journal.WriterOptions{Queue: 50}
	s := start(t, p, nil)
	b := random(100)
	d := s.put(b)
	s.wantBlob(b)
	eventually(t, "two records", func() bool { return s.journal.Stored() == 2 })
	p.indexOutage.cut()
	const reads = 1200 // more than a batch and the queue hold
	began := time.Now()
	for range reads {
		if a := s.do("GET", s.path(d), nil); a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
	}
	t.Logf("%d reads while the index was away took %v", reads, time.Since(began))
	p.indexOutage.mend()
	eventually(t, "the journal to catch up", func() bool { return s.journal.Stored()+s.journal.Lost() == reads+2 })
	if s.journal.Lost() == 0 {
		t.Error("all were stored: the test shows nothing")
	}
	eventually(t, "the log to tell", func() bool { return strings.Contains(s.logs.String(), "operations went unrecorded") })
	page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?limit=1000", nil))
	count := len(page.Operations)
	for next := page.Next; next != ""; {
		more := decode[api.RecordPage](t, s.do("GET", "/v1/operations?limit=1000&after="+next, nil))
		count, next = count+len(more.Operations), more.Next
	}
	if page.Lost != s.journal.Lost() || count != int(s.journal.Stored()) {
		t.Errorf("%d records are there and %d stored; %d are said to be lost of %d", count, s.journal.Stored(), page.Lost, s.journal.Lost())
	}
}

// Under load each operation is stored or counted as lost, and none is there twice.
func TestJournalUnderLoad(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		l := load{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, url: s.url, token: s.token}
		t.Cleanup(l.client.CloseIdleConnections)
		const hot = 10
		for range hot {
			l.hot = append(l.hot, s.put(random(4<<10)))
		}
		began := time.Now()
		l.run(loadOps, 16, func(err error) { t.Error(err) })
		t.Logf("%d operations took %v; %d wait to be stored", loadOps, time.Since(began), s.journal.Queued())
		const done = loadOps + hot
		for some := uint64(done / 20); some <= done; some += done / 20 {
			eventually(t, "the journal to go on", func() bool { return s.journal.Stored()+s.journal.Lost() >= some })
		}
		eventually(t, "the journal to have all", func() bool { return s.journal.Stored()+s.journal.Lost() >= done })
		if stored, lost := s.journal.Stored(), s.journal.Lost(); stored+lost != done || lost > 0 {
			t.Errorf("%d operations: %d stored, %d lost", done, stored, lost)
		}
		ids := map[string]bool{}
		q := journal.Query{Limit: 1000}
		for {
			entries, err := p.index.Records(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				ids[e.ID] = true
			}
			if len(entries) < q.Limit {
				break
			}
			q.Before = entries[len(entries)-1].Cursor
		}
		if len(ids) != done {
			t.Errorf("%d operations are there of %d", len(ids), done)
		}
	})
}
