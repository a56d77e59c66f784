package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
)

// isSuspect reports whether a blob is suspect.
func (p *process) isSuspect(d cas.Digest) bool {
	status, meta, err := p.request("GET", "/v1/blobs/"+d.String()+"/meta", nil)
	return err == nil && status == 200 && bytes.Contains(meta, []byte(`"suspect"`))
}

// An object that is damaged in the bucket, and has no copy, is found by its first read as without a tier: the
// blob is suspect at once, and a small one's reader hears of the damage. No copy is blamed.
func TestDamagedObjectBehindTheTier(t *testing.T) {
	t.Parallel()
	for _, hot := range []string{"0", "1MiB"} {
		t.Run("hot bytes "+hot, func(t *testing.T) {
			t.Parallel()
			options := s3test.NewBucket(t)
			bucket, dir := s3test.Client(t, options), t.TempDir()
			env := []string{
				"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + options.Endpoint, "CAS_S3_BUCKET=" + options.Bucket,
				"CAS_S3_ACCESS_KEY=" + options.AccessKey, "CAS_S3_SECRET_KEY=" + options.SecretKey,
				"CAS_HOT_BYTES=" + hot, "CAS_CACHE_DIR=" + dir, "CAS_CACHE_SIZE=1GiB",
			}
			p := serveProcess(t, casCommand(t, env, "serve"))
			sizes := []int{5000, 250_000, 300_000, 3 << 20, 3<<20 + 1, 3<<20 + 2}
			var blobs []cas.Digest
			for _, size := range sizes {
				b := castest.RandomBytes(size)
				d := p.store(b)
				blobs = append(blobs, d)
				waitCopy(t, dir, d, true)
				b[size/2] ^= 1
				_, err := bucket.PutObject(t.Context(), options.Bucket, cas.ObjectRef{Digest: d}.Key(), bytes.NewReader(b), int64(size), minio.PutObjectOptions{})
				if err = errors.Join(err, os.Remove(copyIn(dir, d))); err != nil {
					t.Fatal(err)
				}
			}
			p.kill() // it has the bytes of the small ones in memory
			p = serveProcess(t, casCommand(t, env, "serve"))
			inPart, many := blobs[4], blobs[5]
			for i, d := range blobs[:4] {
				status, b, err := p.request("GET", "/v1/blobs/"+d.String(), nil)
				isSmall := sizes[i] < 256<<10
				if isSmall && (err != nil || status != http.StatusBadGateway || !bytes.Contains(b, []byte("object_corrupt"))) || !isSmall && err == nil && status == http.StatusOK {
					t.Errorf("%d bytes: %d %.200s, %v", sizes[i], status, b, err)
				}
				if !p.isSuspect(d) {
					t.Errorf("%d bytes: not suspect after the first read", sizes[i])
				}
			}
			var readers sync.WaitGroup
			for range 40 {
				readers.Go(func() {
					if status, b, err := p.request("GET", "/v1/blobs/"+many.String(), nil); err == nil && status == http.StatusOK {
						t.Errorf("a complete answer of %d bytes with the digest %v", len(b), cas.DigestOf(b))
					}
				})
			}
			readers.Wait()
			if !p.isSuspect(many) {
				t.Error("not suspect after many readers")
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/v1/blobs/"+inPart.String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Range", "bytes=5-10")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusPartialContent {
				t.Errorf("a range: %d %.200s, %v", resp.StatusCode, b, err)
			}
			castest.Eventually(t, "the blob of which a range was read is suspect", func() bool { return p.isSuspect(inPart) })
			if log := p.log(); strings.Contains(log, "local copy") {
				t.Errorf("a copy is blamed:\n%s", log)
			}
		})
	}
}
