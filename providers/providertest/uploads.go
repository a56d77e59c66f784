package providertest

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"casgate/providers"
)

// allocated limits the total allocation of a large upload and of an endless answer, in
// bytes, for adapter, simulator and HTTP together.
const (
	allocatedByUpload = 16 << 20
	allocatedByAnswer = 160 << 20
)

func allocations(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func testLargeUpload(t *testing.T, r *run) {
	var p providers.Purpose
	var size int64
	for _, candidate := range r.description.Purposes {
		limit := int64(64 << 20)
		if candidate.MaxSize > 0 {
			limit = min(limit, candidate.MaxSize)
		}
		if special, ok := candidate.SizeOf[extensionOf(candidate)]; ok {
			limit = min(limit, special)
		}
		if limit > size {
			p, size = candidate, limit
		}
	}
	r.mustUpload(t, p) // connections and their buffers are there then
	c := large(size)
	var f providers.RemoteFile
	var err error
	n := allocations(func() { f, err = r.Upload(t.Context(), c.upload(p, "large"+extensionOf(p))) })
	if err != nil {
		t.Fatal(err)
	}
	c.wantDone(t)
	for _, kept := range r.remote.Files() {
		if kept.ID == f.ID && (kept.Size != size || kept.Digest != c.digest(t)) {
			t.Errorf("%d bytes arrived as %d others", size, kept.Size)
		}
	}
	if n > allocatedByUpload {
		t.Errorf("an upload of %d MiB allocated %d MiB; it is not streamed", size>>20, n>>20)
	}
	if got := r.remote.LastUpload().ContentLength; !r.fitsContentLength(got, size) {
		t.Errorf("the request's Content-Length is %d", got)
	}
}

var errSource = errors.New("the source broke off")

// testContentFails: content that fails before its end must never become a file, since the
// provider could take it for a complete one.
func testContentFails(t *testing.T, r *run) {
	p := r.listed()
	extension := extensionOf(p)
	whole := strings.Repeat("Some line of text.\n", 20_000)
	for _, n := range []int{0, 1, 1000, len(whole) / 2, len(whole) - 1, len(whole)} {
		c := &content{size: int64(len(whole)), read: func() io.Reader {
			return io.MultiReader(strings.NewReader(whole[:n]), iotest.ErrReader(errSource))
		}}
		_, err := r.Upload(t.Context(), c.upload(p, "fails"+extension))
		r.wantError(t, err, providers.OpUpload)
		if !errors.Is(err, errSource) {
			t.Errorf("after %d bytes: %v doesn't wrap the source's error", n, err)
		}
		c.wantDone(t)
		if files := r.remote.Files(); len(files) > 0 {
			t.Fatalf("after %d bytes of %d a file was made: %+v", n, len(whole), files)
		}
	}
}

func testContentLength(t *testing.T, r *run) {
	p := r.listed()
	for _, size := range []int64{9, 11, 100_000} {
		c := textContent("ten bytes!")
		c.size = size
		f, err := r.Upload(t.Context(), c.upload(p, "wrong"+extensionOf(p)))
		c.wantDone(t)
		if err == nil {
			t.Errorf("content of 10 bytes, announced as %d, became a file of %d", size, f.Size)
			continue
		}
		r.wantError(t, err, providers.OpUpload)
		if files := r.remote.Files(); len(files) > 0 {
			t.Fatalf("announced as %d bytes: a file was made: %+v", size, files)
		}
	}
}

func testOpenFails(t *testing.T, r *run) {
	p := r.listed()
	c := textContent("never read")
	c.fail = errSource
	_, err := r.Upload(t.Context(), c.upload(p, "a"+extensionOf(p)))
	r.wantError(t, err, providers.OpUpload)
	if !errors.Is(err, errSource) {
		t.Errorf("%v doesn't wrap the source's error", err)
	}
	if r.remote.Uploads() > 0 {
		t.Error("something was uploaded")
	}
}

func testDeleteTwice(t *testing.T, r *run) {
	f := r.mustUpload(t, r.listed())
	if err := r.Delete(t.Context(), f.ID); err != nil {
		t.Fatal(err)
	}
	err := r.Delete(t.Context(), f.ID)
	if r.DeletesBlindly && err == nil {
		return
	}
	r.wantError(t, err, providers.OpDelete, providers.KindLost)
}

// Ids are opaque: none may change the path of a request.
func testOddIDs(t *testing.T, r *run) {
	p := r.listed()
	kept := r.mustUpload(t, p)
	for _, id := range []string{"", ".", "..", "../files/" + kept.ID, kept.ID + "/content", kept.ID + "?x=1", kept.ID + "#", "a b", "ä%2f", strings.Repeat("x", 255)} {
		err := r.Delete(t.Context(), id)
		if !(r.DeletesBlindly && err == nil) {
			r.wantError(t, err, providers.OpDelete, providers.KindLost, providers.KindPermanent)
		}
		if files := r.remote.Files(); len(files) != 1 {
			t.Fatalf("the delete of %q took %s with it", id, kept.ID)
		}
	}
}
