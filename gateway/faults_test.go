package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
	"casgate/gateway"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/index/indextest"
)

// A client never gets a complete answer with wrong bytes: it gets an error, or a
// body that breaks off. The blob is then suspect, and another upload repairs it.
func TestDamagedObject(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		for _, n := range []int{1000, 5 << 20} {
			// Hot memory would rightly go on serving the right bytes.
			s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.HotBlobSize, o.VerifiedFor = 1<<10, 0 })
			b := random(n)
			d := s.put(b)
			p.damage(t, d)
			a, err := s.try("GET", s.path(d), nil)
			switch {
			case n <= 1<<10:
				if err != nil {
					t.Fatal(err)
				}
				a.wantProblem(t, 502, problem.ObjectCorrupt)
			case err == nil:
				t.Fatalf("a damaged blob came as %d with %d bytes, complete", a.StatusCode, len(a.body))
			case len(a.body) >= n:
				t.Fatalf("all %d bytes came before the error", len(a.body))
			}
			meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil))
			if meta.State != cas.StateSuspect {
				t.Fatalf("the blob is %s", meta.State)
			}
			// A part can't be verified, so it isn't to be had.
			if a, err := s.try("GET", s.path(d), nil, "Range", "bytes=0-9"); err == nil && a.StatusCode == 206 {
				t.Error("a part of a suspect blob was served")
			}
			if a := s.do("PUT", s.path(d), bytes.NewReader(b)); a.StatusCode != 201 {
				t.Fatalf("the repair: %d %s", a.StatusCode, a.body)
			}
			s.wantBlob(b)
			if meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil)); meta.State != cas.StateLive {
				t.Errorf("after the repair the blob is %s", meta.State)
			}
			wantNoPanic(t, s)
		}
	})
}

func TestMissingObject(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, n := range []int{1000, 5 << 20} {
			b := random(n)
			d := s.put(b)
			p.remove(t, d)
			for range 2 {
				s.do("GET", s.path(d), nil).wantProblem(t, 502, problem.ObjectMissing)
			}
			s.do("GET", s.path(d), nil, "Range", "bytes=1-2").wantProblem(t, 502, problem.ObjectMissing)
			if a := s.do("POST", "/v1/blobs", bytes.NewReader(b)); a.StatusCode != 201 {
				t.Fatalf("the repair: %d %s", a.StatusCode, a.body)
			}
			s.wantBlob(b)
		}
	})
}

func TestStoreDown(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		faulty := castest.NewFaulty(p.objects)
		p.objects = faulty
		s := start(t, p, nil)
		hot, cold := random(1000), random(2<<20)
		s.put(hot)
		s.put(cold)
		s.wantBlob(hot)
		waitHot(t, s, hot)
		down, up := func() { p.storeOutage.cut() }, func() { p.storeOutage.end() }
		if p.storeOutage == nil {
			down = func() {
				faulty.SetHook(func(castest.Op, cas.ObjectRef) castest.Fault { return castest.Fault{Err: cas.ErrStoreUnavailable} })
			}
			up = func() { faulty.SetHook(nil) }
		}
		down()
		s.do("GET", s.path(cas.DigestOf(cold)), nil).wantProblem(t, 503, problem.StoreUnavailable)
		for _, n := range []int{1000, 2 << 20} {
			b := random(n)
			s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b)).wantProblem(t, 503, problem.StoreUnavailable)
			s.do("POST", "/v1/blobs", bytes.NewReader(b)).wantProblem(t, 503, problem.StoreUnavailable)
		}
		s.wantBlob(hot) // needs no store
		if a := s.do("HEAD", s.path(cas.DigestOf(cold)), nil); a.StatusCode != 200 {
			t.Errorf("HEAD needs no store: %d", a.StatusCode)
		}
		if a := s.do("GET", "/readyz", nil); a.StatusCode != 503 || decode[api.Health](t, a).Checks["store"] == "ok" {
			t.Errorf("readyz: %d %s", a.StatusCode, a.body)
		}
		if a := s.do("GET", "/healthz", nil); a.StatusCode != 200 {
			t.Errorf("healthz: %d", a.StatusCode)
		}
		up()
		s.wantBlob(cold)
		s.put(random(1000))
		if a := s.do("GET", "/readyz", nil); a.StatusCode != 200 {
			t.Errorf("readyz afterwards: %d %s", a.StatusCode, a.body)
		}
		if n := s.blobCount(); n != 3 {
			t.Errorf("%d blobs, want 3", n)
		}
	})
}

// waitHot reads until the bytes are in memory: a cache may take its time.
func waitHot(t *testing.T, s *server, b []byte) {
	t.Helper()
	before := s.store.MemoryStats().Hits
	eventually(t, "the blob to become hot", func() bool {
		s.wantBlob(b)
		return s.store.MemoryStats().Hits > before
	})
}

func TestIndexDown(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		down := make(chan struct{})
		if p.indexOutage == nil {
			inner := p.index
			hook := func(string, cas.Digest) (bool, error) {
				select {
				case <-down:
					return false, cas.ErrIndexUnavailable
				default:
					return false, nil
				}
			}
			p.index = over(inner, indextest.NewFaulty(inner, hook))
		}
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.ReadWithoutIndex = true })
		small, large := random(1000), random(2<<20)
		s.put(small)
		s.put(large)
		s.do("GET", s.path(cas.DigestOf(small))+"/meta", nil) // the token is known by now
		close(down)
		if p.indexOutage != nil {
			p.indexOutage.cut()
		}
		// Another gateway would have nothing cached; this one must not need it either.
		s.cache.ForgetAll()
		for _, b := range [][]byte{small, large} {
			a := s.do("GET", s.path(cas.DigestOf(b)), nil)
			if a.StatusCode != 200 || !bytes.Equal(a.body, b) || a.Header.Get("Content-Type") != cas.DefaultMediaType {
				t.Errorf("a read by digest: %d, %d bytes, %q", a.StatusCode, len(a.body), a.Header.Get("Content-Type"))
			}
		}
		s.do("GET", s.path(cas.DigestOf(random(9))), nil).wantProblem(t, 503, problem.IndexUnavailable)
		for _, n := range []int{1000, 2 << 20} {
			b := random(n)
			s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b)).wantProblem(t, 503, problem.IndexUnavailable)
			s.do("POST", "/v1/blobs", bytes.NewReader(b)).wantProblem(t, 503, problem.IndexUnavailable)
		}
		s.do("DELETE", s.path(cas.DigestOf(small)), nil).wantProblem(t, 503, problem.IndexUnavailable)
		s.do("GET", "/v1/blobs", nil).wantProblem(t, 503, problem.IndexUnavailable)
		if a := s.do("GET", "/readyz", nil); a.StatusCode != 503 || decode[api.Health](t, a).Checks["index"] == "ok" {
			t.Errorf("readyz: %d %s", a.StatusCode, a.body)
		}
		if p.indexOutage == nil {
			return // a SQLite that fails does not come back
		}
		p.indexOutage.end()
		s.wantBlob(small)
		s.put(random(1000))
		wantNoPanic(t, s)
	})
}

// A commit that fails, whether or not it was applied, is answered 503. A repeated
// upload works in both cases.
func TestCommitFails(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		for _, applied := range []bool{false, true} {
			for _, n := range []int{1000, 2 << 20} {
				failing := true
				inner := p.index
				hook := func(op string, _ cas.Digest) (bool, error) {
					if op == indextest.OpCommit && failing {
						return applied, cas.ErrIndexUnavailable
					}
					return false, nil
				}
				q := *p
				q.index = over(inner, indextest.NewFaulty(inner, hook))
				s := start(t, &q, nil)
				b := random(n)
				refused := s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b))
				if refused.wantProblem(t, 503, problem.IndexUnavailable); !strings.Contains(string(refused.body), "The bytes are stored, but the index did not confirm the blob") {
					t.Errorf("the answer to a failed commit is %s", refused.body)
				}
				a := s.do("GET", s.path(cas.DigestOf(b)), nil)
				if applied && a.StatusCode != 200 || !applied && a.StatusCode != 404 {
					t.Errorf("applied %t: a read is answered %d", applied, a.StatusCode)
				}
				failing = false
				s.put(b)
				s.wantBlob(b)
			}
		}
	})
}

// A delete that fails, whether or not it was applied, is answered 503, and the answer says that
// it may be done.
func TestDeleteFails(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		for _, path := range []string{"", "?everywhere=true"} {
			for _, applied := range []bool{false, true} {
				failing := true
				hook := func(op string, _ cas.Digest) (bool, error) {
					if op == indextest.OpCondemn && failing {
						return applied, cas.ErrIndexUnavailable
					}
					return false, nil
				}
				q := *p
				q.index = over(p.index, indextest.NewFaulty(p.index, hook))
				s := start(t, &q, nil)
				b := random(1000)
				s.put(b)
				refused := s.do("DELETE", s.path(cas.DigestOf(b))+path, nil)
				if refused.wantProblem(t, 503, problem.IndexUnavailable); !strings.Contains(string(refused.body), "it may be done or not") {
					t.Errorf("%s: the answer to a failed delete is %s", path, refused.body)
				}
				failing = false
				again := s.do("DELETE", s.path(cas.DigestOf(b))+path, nil)
				if applied && again.StatusCode != 404 || !applied && again.StatusCode/100 != 2 {
					t.Errorf("%s applied %t: the repetition is answered %d: %s", path, applied, again.StatusCode, again.body)
				}
			}
		}
	})
}

// The same for the object store's write.
func TestObjectPutFails(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		faulty := castest.NewFaulty(p.objects)
		p.objects = faulty
		s := start(t, p, nil)
		for _, applied := range []bool{false, true} {
			for _, n := range []int{1000, 2 << 20} {
				b := random(n)
				faulty.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
					if op == castest.OpPut {
						return castest.Fault{Err: cas.ErrStoreUnavailable, Applied: applied}
					}
					return castest.Fault{}
				})
				s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b)).wantProblem(t, 503, problem.StoreUnavailable)
				s.do("GET", s.path(cas.DigestOf(b)), nil).wantProblem(t, 404, problem.BlobNotFound)
				faulty.SetHook(nil)
				s.put(b)
				s.wantBlob(b)
			}
		}
	})
}

// A store may refuse an upload, as an HTTP client does, while it still reads the
// body: the answer must not wait for the rest, and nothing may read on after it.
func TestStoreRefusesWhileItReads(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		reader := &lingering{ObjectStore: p.objects, ended: make(chan error, 1)}
		p.objects = reader
		s := start(t, p, nil)
		w := s.dial(t)
		w.send("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 3000000\r\n\r\nabc", s.path(cas.DigestOf(random(9))), s.token)
		w.answer("PUT").wantProblem(t, 503, problem.StoreUnavailable)
		if err := <-reader.ended; !errors.Is(err, cas.ErrBodyRead) {
			t.Errorf("the read that was under way ended with %v", err)
		}
	})
}

// lingering is an object store that refuses every object after its first byte,
// and goes on reading.
type lingering struct {
	cas.ObjectStore
	ended chan error
}

func (l *lingering) Put(_ context.Context, _ cas.ObjectRef, body *cas.VerifyingReader) error {
	first := make([]byte, 3)
	if _, err := io.ReadFull(body, first); err != nil {
		return err
	}
	go func() {
		_, err := io.Copy(io.Discard, body)
		l.ended <- err
	}()
	return cas.ErrStoreUnavailable
}

func TestNoSpace(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		faulty := castest.NewFaulty(p.objects)
		p.objects = faulty
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.SpoolLimit = 1 << 20 })
		s.do("POST", "/v1/blobs", bytes.NewReader(random(3<<20))).wantProblem(t, 507, problem.NoSpace)
		faulty.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
			return castest.Fault{Err: errors.Join(cas.ErrNoSpace, errors.New("disk /dev/secret is full"))}
		})
		problem := s.do("POST", "/v1/blobs", bytes.NewReader(random(100))).wantProblem(t, 507, problem.NoSpace)
		if strings.Contains(problem.Detail, "secret") {
			t.Errorf("the answer names the server's inside: %s", problem.Detail)
		}
		faulty.SetHook(nil)
		s.put(random(100))
	})
}

// A gateway whose spool folder can't be used says so, to those who upload and to those who
// operate it. What needs no spool works.
func TestSpoolFolderIsUnusable(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		spool := filepath.Join(t.TempDir(), "secret")
		if err := os.Mkdir(spool, 0o700); err != nil {
			t.Fatal(err)
		}
		s := start(t, p, func(_ *gateway.Options, o *cas.Options) { o.SpoolDir = spool })
		checked := func() string {
			a := s.do("GET", "/readyz", nil)
			health := decode[api.Health](t, a)
			if a.StatusCode != 200 || health.Status != "ok" || strings.Contains(string(a.body), "secret") {
				t.Errorf("readyz: %d %s", a.StatusCode, a.body)
			}
			return health.Checks["spool"]
		}
		if got := checked(); got != "ok" {
			t.Errorf("readyz says %q of a spool folder that works", got)
		}
		// Root may write to any folder, so something else is in its place.
		if err := errors.Join(os.Remove(spool), os.WriteFile(spool, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		large, streamed := random(3<<20), random(3<<20)
		answer := s.do("POST", "/v1/blobs", bytes.NewReader(large)).wantProblem(t, 503, problem.SpoolUnusable)
		if strings.Contains(answer.Detail, "secret") || !answer.Retryable {
			t.Errorf("the answer: %+v", answer)
		}
		if logged := s.logs.String(); !strings.Contains(logged, spool) {
			t.Errorf("the log does not name the folder: %s", logged)
		}
		if got := checked(); got != "unusable" {
			t.Errorf("readyz says %q", got)
		}
		s.put(random(1000))
		if a := s.do("PUT", s.path(cas.DigestOf(streamed)), bytes.NewReader(streamed)); a.StatusCode != 201 {
			t.Errorf("PUT with a digest: %d %s", a.StatusCode, a.body)
		}
		s.wantBlob(streamed)
		if err := os.Remove(spool); err != nil {
			t.Fatal(err)
		}
		if a := s.do("POST", "/v1/blobs", bytes.NewReader(large)); a.StatusCode != 201 {
			t.Errorf("afterwards: %d %s", a.StatusCode, a.body)
		}
		if got := checked(); got != "ok" {
			t.Errorf("afterwards, readyz says %q", got)
		}
	})
}

// A blob that is being removed while it is uploaded comes to lie in a new
// generation, and the late removal of the old one does it no harm.
func TestUploadMeetsTheCollector(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		x := p.index.(collector.Index)
		s := start(t, p, nil)
		for _, n := range []int{1000, 2 << 20} {
			for _, finishFirst := range []bool{false, true} {
				b := random(n)
				d := s.put(b)
				s.do("DELETE", s.path(d), nil)
				refs, err := indextest.StartDeleting(t.Context(), x, 0, 10)
				if err != nil || len(refs) != 1 || refs[0].Digest != d {
					t.Fatalf("%v, %v", refs, err)
				}
				finish := func() {
					if err := p.objects.Delete(t.Context(), refs[0]); err != nil {
						t.Fatal(err)
					}
					if err := x.FinishDeleting(t.Context(), refs[0]); err != nil {
						t.Fatal(err)
					}
				}
				if finishFirst {
					finish()
				}
				if a := s.do("PUT", s.path(d), bytes.NewReader(b)); a.StatusCode != 201 {
					t.Fatalf("%d %s", a.StatusCode, a.body)
				}
				if !finishFirst {
					finish()
				}
				s.cache.ForgetAll()
				s.wantBlob(b)
				// And once more from the store, past the memory.
				blob, err := s.store.Blob(t.Context(), d)
				if err != nil || blob.Generation != 1 {
					t.Fatalf("%+v, %v", blob, err)
				}
				object, err := p.objects.Open(t.Context(), blob.Object(), 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(object.Body)
				object.Body.Close()
				if err != nil || !bytes.Equal(got, b) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
			}
		}
	})
}
