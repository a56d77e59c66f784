package gateway_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
	"casgate/providers/replicator"
)

// The gateway's own work with files leaves records too.
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
		short, err := p.index.CreateFile(t.Context(), cas.NewFile{File: cas.File{
			ID: cas.NewFileID(), Digest: d, Size: 13, Name: "x.txt", MediaType: "text/plain", Purpose: "user_data", ExpiresAt: soon,
		}})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the file's end", func() bool { return s.do("GET", "/v1/files/"+short.ID, nil).StatusCode == 404 })
		background(t, s.files.Run)
		a.expect(byItself("kind=expire"), api.Record{Kind: "expire", Actor: "gateway", Digest: &d, FileID: short.ID})
		a.check()
	})
}

// Work that goes on after the answer leaves its record when it ends. The record has
// the id from the answer, and the caller.
func TestWorkBehindAnswersLeavesOneRecord(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, oneAttempt, nil)
		a := newAudit(s)
		ref := func(d cas.Digest) *cas.Digest { return &d }
		put := func(content string) cas.Digest {
			d, operation := s.putNamedAs(content, "x.txt")
			a.expect(operation, api.Record{Kind: "upload", Digest: &d, Bytes: int64(len(content))})
			return d
		}
		record := func(d cas.Digest, size int64) api.Record {
			return api.Record{Kind: "sync", Digest: &d, Provider: "kimi", Bytes: size}
		}
		// Not waited for.
		d := put("in the background")
		release := kimi.holdUploads(t)
		begun := a.of(s.do("PUT", s.copyPath(d, "kimi"), nil, "Prefer", "respond-async"), record(d, 17))
		// Another caller gets that operation, and leaves a record of its request.
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
		a.of(s.do("GET", s.path(d)+"/references/kimi?kind=file_id", nil, "Prefer", "wait=1"), record(d, 31)).wantProblem(t, 409, problem.CopyInProgress)
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
		s, kimi := startCopier(t, p, func(o *replicator.Options) {
			oneAttempt(o)
			o.Providers[1].(reader).about.MaxFiles = 1
		}, nil)
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

// A download that the client breaks off is recorded as such; one that the gateway
// breaks off is a failure.
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
