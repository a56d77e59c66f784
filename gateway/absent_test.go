package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/index/indextest"
)

// A gateway that has not seen an object recently looks at it before it answers that the
// blob exists.
func TestUploadOfABlobWithoutItsObject(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		writer := start(t, p, nil)
		harm := map[string]func(*testing.T, cas.Digest){
			"missing":   p.remove,
			"truncated": func(t *testing.T, d cas.Digest) { p.replace(t, d, []byte("short")) },
		}
		upload := map[string]func(s *server, d cas.Digest, b []byte) answer{
			"PUT":  func(s *server, d cas.Digest, b []byte) answer { return s.do("PUT", s.path(d), bytes.NewReader(b)) },
			"POST": func(s *server, _ cas.Digest, b []byte) answer { return s.do("POST", "/v1/blobs", bytes.NewReader(b)) },
		}
		for how, damage := range harm {
			for method, send := range upload {
				for _, n := range []int{1000, 2 << 20} {
					b := random(n)
					d := writer.put(b)
					damage(t, d)
					s := start(t, p, nil) // has not seen the object
					if a := send(s, d, b); a.StatusCode != http.StatusCreated {
						t.Errorf("%s of %d bytes with the object %s: %d %s", method, n, how, a.StatusCode, a.body)
					}
					s.wantBlob(b)
				}
			}
			whole, b := random(1000), random(1000)
			writer.put(whole)
			damage(t, writer.put(b))
			s := start(t, p, nil)
			ask := `{"digests":["` + cas.DigestOf(b).String() + `","` + cas.DigestOf(whole).String() + `"]}`
			got := decode[api.Missing](t, s.do("POST", "/v1/blobs/find-missing", strings.NewReader(ask), "Content-Type", "application/json")).Missing
			if len(got) != 1 || got[0] != cas.DigestOf(b) {
				t.Errorf("with the object %s, find-missing finds %v, want only %s", how, got, cas.DigestOf(b))
			}
		}
	})
}

// An object that was seen recently is not looked at.
func TestSeenObjectIsNotLookedAt(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		faulty := castest.NewFaulty(p.objects)
		p.objects = faulty
		b := random(1000)
		start(t, p, nil).put(b)
		looks := make(chan struct{}, 1000)
		faulty.SetHook(func(op castest.Op, _ cas.ObjectRef) castest.Fault {
			if op == castest.OpStat {
				looks <- struct{}{}
			}
			return castest.Fault{}
		})
		s := start(t, p, nil)
		put := func() int {
			before := len(looks)
			if a := s.do("PUT", s.path(cas.DigestOf(b)), bytes.NewReader(b)); a.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			return len(looks) - before
		}
		if n := put(); n != 1 {
			t.Errorf("the first upload looked %d times, want once", n)
		}
		eventually(t, "an upload without a look", func() bool { return put() == 0 })
	})
}

// A verification counts for the object that was read, not for one that takes its place.
func TestVerificationEndsWithItsObject(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.HotBlobSize = -1 })
		b, other := random(1<<20), random(1<<20)
		d := s.put(b)
		s.wantBlob(b)
		eventually(t, "a read that compares the fingerprint", func() bool { return isFingerprinted(t, s, d) })
		p.replace(t, d, other)
		if a, err := s.try("GET", s.path(d), nil); err == nil && len(a.body) == len(b) {
			t.Errorf("a replaced object came as %d, complete", a.StatusCode)
		}
		if meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil)); meta.State != cas.StateSuspect {
			t.Errorf("the blob is %s", meta.State)
		}
		// The same bytes written again are another version; it is verified, and right.
		s.put(b)
		s.wantBlob(b)
		eventually(t, "a read that compares the fingerprint", func() bool { return isFingerprinted(t, s, d) })
	})
}

// isFingerprinted reports whether a read of the whole blob trusts an earlier verification
// of its digest.
func isFingerprinted(t *testing.T, s *server, d cas.Digest) bool {
	t.Helper()
	blob, err := s.store.Blob(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	content, err := s.store.Open(t.Context(), blob, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if _, err := io.Copy(io.Discard, content.Body); err != nil {
		t.Fatal(err)
	}
	return content.ChecksFingerprint()
}

// oneVersion is a store whose objects keep their version, as they do if a disk changes the
// bytes below the file system.
type oneVersion struct{ cas.ObjectStore }

func (s oneVersion) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	object, err := s.ObjectStore.Open(ctx, ref, offset, length)
	object.Version = "the same"
	return object, err
}

// A byte that rots after a verified read, under the same version, never arrives in a
// complete answer.
func TestRotAfterAVerifiedRead(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		p.objects = oneVersion{p.objects}
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.HotBlobSize = -1 })
		const size = 600 << 10 // three pieces of the answer
		for name, rotten := range map[string]int{"first byte": 0, "middle": size / 2, "last byte": size - 1} {
			t.Run(name, func(t *testing.T) {
				b := random(size)
				d := s.put(b)
				s.wantBlob(b)
				eventually(t, "a read that compares the fingerprint", func() bool { return isFingerprinted(t, s, d) })
				s.wantBlob(b)
				changed := bytes.Clone(b)
				changed[rotten] ^= 1
				p.replace(t, d, changed)
				if a, err := s.try("GET", s.path(d), nil); err == nil && len(a.body) == len(b) {
					t.Errorf("a rotten object came as %d, complete", a.StatusCode)
				}
				if meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil)); meta.State != cas.StateSuspect {
					t.Errorf("the blob is %s", meta.State)
				}
				s.put(b)
				s.wantBlob(b)
			})
		}
	})
}

// A suspect blob whose object is right after all becomes live by a full read, and HEAD
// has the answer of GET.
func TestSuspectBlobBecomesLive(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(_ *gatewayOptions, o *cas.Options) { o.HotBlobSize = 1 << 10 })
		for _, n := range []int{1000, 2 << 20} {
			for _, method := range []string{"GET", "HEAD"} {
				b := random(n)
				d := s.put(b)
				p.remove(t, d)
				s.do("GET", s.path(d), nil).wantProblem(t, 502, problem.ObjectMissing)
				if a := s.do("HEAD", s.path(d), nil); a.StatusCode != 502 {
					t.Errorf("HEAD of a blob without its object: %d", a.StatusCode)
				}
				if err := p.objects.Put(t.Context(), cas.ObjectRef{Digest: d}, cas.NewVerifyingReader(bytes.NewReader(b), d, int64(n))); err != nil {
					t.Fatal(err)
				}
				if a := s.do(method, s.path(d), nil); a.StatusCode != 200 {
					t.Errorf("%s with the object there again: %d %s", method, a.StatusCode, a.body)
				}
				if meta := decode[api.BlobMeta](t, s.do("GET", s.path(d)+"/meta", nil)); meta.State != cas.StateLive {
					t.Errorf("after a right %s of %d bytes the blob is %s", method, n, meta.State)
				}
			}
		}
	})
}

// While the index is down, a deleted blob does not come back: not from memory, not from
// the object store, and not by a signed URL.
func TestDeletedBlobStaysDeletedWithoutTheIndex(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		down := make(chan struct{})
		inner := p.index
		p.index = over(inner, indextest.NewFaulty(inner, func(string, cas.Digest) (bool, error) {
			select {
			case <-down:
				return false, cas.ErrIndexUnavailable
			default:
				return false, nil
			}
		}))
		s := start(t, p, nil)
		var deleted []cas.Digest
		var urls []string
		for _, n := range []int{1000, 2 << 20} {
			b := random(n)
			d := s.put(b)
			s.wantBlob(b)
			signed := decode[api.SignedURL](t, s.do("POST", s.path(d)+"/url", strings.NewReader(`{"expires_in":60}`)))
			if a := s.do("DELETE", s.path(d), nil); a.StatusCode >= 300 {
				t.Fatalf("delete: %d %s", a.StatusCode, a.body)
			}
			deleted, urls = append(deleted, d), append(urls, signed.URL)
		}
		close(down)
		for i, d := range deleted {
			s.do("GET", s.path(d), nil).wantProblem(t, 503, problem.IndexUnavailable)
			s.do("HEAD", s.path(d), nil)
			if a := s.do("GET", urls[i], nil, "Authorization", "-"); a.StatusCode != 503 {
				t.Errorf("by a signed URL: %d", a.StatusCode)
			}
		}
	})
}
