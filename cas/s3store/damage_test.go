package s3store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"casgate/cas"
	"casgate/cas/s3store"
)

// A store fails for all objects but the one that is read for comparison. Few of them count
// as damaged, and the others as an outage. As soon as another object is read, damage is
// damage again.
func TestStoreThatReadsOnlyTheProbe(t *testing.T) {
	t.Parallel()
	refOf := func(text string) cas.ObjectRef { return cas.ObjectRef{Digest: cas.DigestOf([]byte(text))} }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "probe") && !strings.HasSuffix(r.URL.Path, refOf("good").Key()) {
			refuse(w, http.StatusInternalServerError, "InternalError")
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len("good")))
		w.Header().Set("ETag", `"etag"`)
		w.Header().Set("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT")
		if _, err := io.WriteString(w, "good"); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"})
	damaged := func(ref cas.ObjectRef) bool {
		err := second(s.Open(t.Context(), ref, 0, -1))
		if corrupt := errors.Is(err, cas.ErrObjectCorrupt); corrupt != errors.Is(err, cas.ErrStoreUnavailable) {
			return corrupt
		}
		t.Errorf("%v", err)
		return false
	}
	read := func(name string) int64 {
		var n atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if damaged(refOf(fmt.Sprint(name, i))) {
					n.Add(1)
				}
			})
		}
		all.Wait()
		return n.Load()
	}
	for range 2 { // the second time, the same ones
		if n := read("first"); n != 5 {
			t.Errorf("%d of 8 objects count as damaged; want 5", n)
		}
	}
	object, err := s.Open(t.Context(), refOf("good"), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if b, err := io.ReadAll(object.Body); err != nil || string(b) != "good" {
		t.Fatalf("%q, error %v", b, err)
	}
	if n := read("second"); n != 5 {
		t.Errorf("after a read, %d of 8 objects count as damaged; want 5", n)
	}
}
