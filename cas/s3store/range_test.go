package s3store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/s3store"
)

// A store, or a cache before it, may answer another range than the one that was asked
// for. The bytes of a read are then the right ones, or there is an error that does not
// blame the object.
func TestAnswersOfAnotherRange(t *testing.T) {
	t.Parallel()
	object := make([]byte, 1000)
	for i := range object {
		object[i] = byte(i % 251)
	}
	size := int64(len(object))
	// part answers with a part of the object.
	part := func(w http.ResponseWriter, status int, contentRange string, body []byte) {
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT")
		if contentRange != "" {
			w.Header().Set("Content-Range", contentRange)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body) // the reader may have left
	}
	named := func(first, last int64) string { return fmt.Sprintf("bytes %d-%d/%d", first, last, size) }
	type read struct{ offset, length int64 }
	whole, head, middle, tail := read{0, -1}, read{0, 10}, read{100, 50}, read{900, -1}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		right  []read // other reads are errors
	}{
		"the whole object, with 200": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 200, "", object) },
			[]read{whole, head, middle, tail},
		},
		"the whole object, with 206": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 206, named(0, size-1), object) },
			[]read{whole, head, middle, tail},
		},
		"always the first bytes": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 206, named(0, 9), object[:10]) },
			[]read{head},
		},
		"a shifted range": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 206, named(101, 150), object[101:151]) },
			nil,
		},
		"more bytes than asked for": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 206, named(50, 999), object[50:]) },
			[]read{middle, tail},
		},
		"a range without Content-Range": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 206, "", object[100:150]) },
			nil,
		},
		"a Content-Range that does not fit the body": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 206, named(100, 149), object[100:140]) },
			nil,
		},
		"a Content-Range without a size": {
			func(w http.ResponseWriter, _ *http.Request) { part(w, 206, "bytes 100-149/*", object[100:150]) },
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.answer)
			defer server.Close()
			s := open(t, s3store.Options{Endpoint: server.URL, Bucket: "bucket", AccessKey: "access", SecretKey: "secretsecret"})
			for _, r := range []read{whole, head, middle, tail} {
				got, objectSize, err := readObject(t, s, r.offset, r.length)
				end := size
				if r.length >= 0 {
					end = r.offset + r.length
				}
				isRight := false
				for _, right := range tt.right {
					isRight = isRight || r == right
				}
				switch {
				case err != nil && (isRight || !errors.Is(err, cas.ErrStoreUnavailable)):
					t.Errorf("%+v: %v", r, err)
				case err == nil && !bytes.Equal(got, object[r.offset:end]) && strings.HasPrefix(name, "a range without"):
					// 50 bytes without Content-Range look like an object of 50 bytes. Its
					// size tells that it is not the blob's object.
					if objectSize == size {
						t.Errorf("%+v: wrong bytes of an object with the right size", r)
					}
				case err == nil && (!bytes.Equal(got, object[r.offset:end]) || objectSize != size):
					t.Errorf("%+v: %d bytes of an object of %d bytes", r, len(got), objectSize)
				}
			}
		})
	}
}

func readObject(t *testing.T, s *s3store.Store, offset, length int64) (b []byte, size int64, err error) {
	object, err := s.Open(t.Context(), cas.ObjectRef{Digest: cas.DigestOf(nil)}, offset, length)
	if err != nil {
		return nil, 0, err
	}
	defer object.Body.Close()
	b, err = io.ReadAll(object.Body)
	return b, object.Size, err
}
