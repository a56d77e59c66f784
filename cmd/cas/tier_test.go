package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
)

// bucketEnv is an embedded index with a bucket.
func bucketEnv(t *testing.T) []string {
	bucket := s3test.NewBucket(t)
	return []string{
		"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + bucket.Endpoint, "CAS_S3_BUCKET=" + bucket.Bucket,
		"CAS_S3_ACCESS_KEY=" + bucket.AccessKey, "CAS_S3_SECRET_KEY=" + bucket.SecretKey,
		"CAS_HOT_BYTES=0", // so that every read goes to the object store
	}
}

// tierBytes checks all copies in a tier's folder, and returns their bytes.
func tierBytes(t *testing.T, dir string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "sha256"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if ref, err := cas.ParseKey("sha256/" + filepath.ToSlash(strings.SplitN(path, "/sha256/", 2)[1])); err != nil || cas.DigestOf(b) != ref.Digest {
			t.Errorf("%s has %d bytes of another digest", path, len(b))
		}
		total += int64(len(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

// A gateway is killed while it fills its local tier and evicts from it. No copy is ever there in part, the
// copies never exceed the limit, and every blob can be read.
func TestLocalTierOutlivesCrashes(t *testing.T) {
	t.Parallel()
	const limit = 8 << 20
	dir := t.TempDir()
	env := append(bucketEnv(t), "CAS_CACHE_DIR="+dir, fmt.Sprintf("CAS_CACHE_SIZE=%d", limit))
	p := serveProcess(t, casCommand(t, env, "serve"))
	sizes := []int{1000, 100_000, 400_000, 1 << 20, 3 << 20}
	var blobs []cas.Digest
	for i := range 20 {
		blobs = append(blobs, p.store(castest.RandomBytes(sizes[i%len(sizes)])))
	}
	rounds := castest.Thorough(40, 4)
	for round := range rounds {
		var clients sync.WaitGroup
		for range 6 {
			clients.Go(func() {
				for {
					d := blobs[rand.IntN(len(blobs))]
					var err error
					if rand.IntN(4) == 0 {
						b := castest.RandomBytes(sizes[rand.IntN(len(sizes))])
						_, _, err = p.request("PUT", "/v1/blobs/"+cas.DigestOf(b).String(), bytes.NewReader(b))
					} else {
						var status int
						var b []byte
						if status, b, err = p.request("GET", "/v1/blobs/"+d.String(), nil); err == nil && (status != 200 || cas.DigestOf(b) != d) {
							t.Errorf("%s: %d, %d bytes", d.Short(), status, len(b))
						}
					}
					if err != nil {
						return // killed
					}
				}
			})
		}
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond) // any moment
		p.kill()
		clients.Wait()
		if n := tierBytes(t, dir); n > limit {
			t.Fatalf("after crash %d: %d bytes of copies, and the limit is %d", round+1, n, limit)
		}
		p = serveProcess(t, casCommand(t, env, "serve"))
		left, err := os.ReadDir(filepath.Join(dir, "tmp"))
		if err != nil || len(left) > 0 {
			t.Fatalf("after crash %d: %d unfinished copies are left, %v", round+1, len(left), err)
		}
		d := blobs[round%len(blobs)]
		if status, b, err := p.request("GET", "/v1/blobs/"+d.String(), nil); err != nil || status != 200 || cas.DigestOf(b) != d {
			t.Fatalf("after crash %d: %d, %d bytes, %v", round+1, status, len(b), err)
		}
		if n := tierBytes(t, dir); n > limit {
			t.Fatalf("after start %d: %d bytes of copies, and the limit is %d", round+1, n, limit)
		}
	}
	t.Logf("%d crashes, %d bytes of copies", rounds, tierBytes(t, dir))
}

// copyIn returns the path of a blob's copy.
func copyIn(dir string, d cas.Digest) string {
	return filepath.Join(dir, filepath.FromSlash(cas.ObjectRef{Digest: d}.Key()))
}

// waitCopy waits until a copy is there, or is gone.
func waitCopy(t *testing.T, dir string, d cas.Digest, there bool) {
	t.Helper()
	castest.Eventually(t, fmt.Sprintf("the copy is there: %t", there), func() bool {
		_, err := os.Stat(copyIn(dir, d))
		return (err == nil) == there
	})
}

// A damaged copy is found: a small blob's reader gets the right bytes, a large one's a broken-off answer at most.
// The next readers get the right bytes, and the blob is not suspect. A deleted blob's copy goes.
func TestDamagedCopyIsReplaced(t *testing.T) {
	t.Parallel()
	aByte := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for name, damage := range map[string]func([]byte) []byte{
		"a byte":                aByte,
		"a byte, not in memory": aByte,
		"cut":                   func(b []byte) []byte { return b[:len(b)-1] },
		"empty":                 func([]byte) []byte { return nil },
		"long":                  func(b []byte) []byte { return append(b, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			env := append(bucketEnv(t), "CAS_CACHE_DIR="+dir, "CAS_CACHE_SIZE=1GiB", "CAS_GC_GRACE=0", "CAS_GC_INTERVAL=50ms")
			if !strings.HasSuffix(name, "not in memory") {
				env = append(env, "CAS_HOT_BYTES=1MiB")
			}
			p := serveProcess(t, casCommand(t, env, "serve"))
			small, large := p.store(castest.RandomBytes(50_000)), p.store(castest.RandomBytes(2<<20))
			for _, d := range []cas.Digest{small, large} {
				waitCopy(t, dir, d, true)
				if d == large { // so that its fingerprint is known
					if status, _, err := p.request("GET", "/v1/blobs/"+d.String(), nil); err != nil || status != 200 {
						t.Fatalf("%d, %v", status, err)
					}
				}
				b, err := os.ReadFile(copyIn(dir, d))
				if err == nil {
					err = errors.Join(os.Remove(copyIn(dir, d)), os.WriteFile(copyIn(dir, d), damage(b), 0o444))
				}
				if err != nil {
					t.Fatal(err)
				}
				for read := range 3 {
					status, b, err := p.request("GET", "/v1/blobs/"+d.String(), nil)
					if err == nil && (status != 200 || cas.DigestOf(b) != d) {
						t.Errorf("read %d: %d, %d bytes", read, status, len(b))
					}
					if err != nil && (d == small || read > 0) {
						t.Errorf("read %d broke off: %v", read, err)
					}
				}
				if status, b, err := p.request("GET", "/v1/blobs/"+d.String()+"/meta", nil); err != nil || status != 200 || bytes.Contains(b, []byte("suspect")) {
					t.Errorf("%d %s, %v", status, b, err)
				}
			}
			p.remove(small)
			waitCopy(t, dir, small, false)
		})
	}
}

// A deleted blob's copies go from the tiers of other gateways, too.
func TestDeleteReachesOtherTiers(t *testing.T) {
	t.Parallel()
	env := append(servedEnv(t), "CAS_GC_INTERVAL=0")
	dirs := []string{t.TempDir(), t.TempDir()}
	var gateways []*process
	for _, dir := range dirs {
		own := append(append([]string{}, env...), "CAS_DATA_DIR="+t.TempDir(), "CAS_CACHE_DIR="+dir, "CAS_CACHE_SIZE=1GiB")
		gateways = append(gateways, serveProcess(t, casCommand(t, own, "serve")))
	}
	d := gateways[0].store(castest.RandomBytes(2 << 20))
	for i, dir := range dirs {
		if status, _, err := gateways[i].request("GET", "/v1/blobs/"+d.String(), nil); err != nil || status != 200 {
			t.Fatalf("%d, %v", status, err)
		}
		waitCopy(t, dir, d, true)
	}
	gateways[0].remove(d)
	for _, dir := range dirs {
		waitCopy(t, dir, d, false)
	}
}

// A full cache disk refuses nothing: uploads and reads go on.
func TestLocalTierOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := newSmallDisk(t, dir)
	env := append(bucketEnv(t), "CAS_CACHE_DIR="+filepath.Join(dir, "tier"), "CAS_CACHE_SIZE=1GiB")
	p := serveProcess(t, disk.run(casCommand(t, env, "serve")))
	for i := range 20 { // more than the disk holds
		b := castest.RandomBytes(1 << 20)
		d := p.store(b)
		if i == 10 {
			disk.fill()
		}
		for range 2 {
			if status, got, err := p.request("GET", "/v1/blobs/"+d.String(), nil); err != nil || status != 200 || !bytes.Equal(got, b) {
				t.Fatalf("blob %d: %d, %d bytes, %v", i, status, len(got), err)
			}
		}
	}
}

// Settings of a tier that can't work are refused with what to do.
func TestLocalTierSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used := append(bucketEnv(t), "CAS_CACHE_DIR="+dir, "CAS_CACHE_SIZE=1GiB")
	serveProcess(t, casCommand(t, used, "serve"))
	for name, tt := range map[string]struct {
		env  []string
		says string
	}{
		"a folder store": {append(embeddedEnv(t), "CAS_CACHE_DIR="+t.TempDir(), "CAS_CACHE_SIZE=1GiB"), "is for a bucket"},
		"no size":        {append(bucketEnv(t), "CAS_CACHE_DIR="+t.TempDir()), "CAS_CACHE_SIZE"},
		"no folder":      {append(bucketEnv(t), "CAS_CACHE_SIZE=1GiB"), "CAS_CACHE_DIR"},
		"a fill alone":   {append(bucketEnv(t), "CAS_CACHE_FILL=1MiB"), "CAS_CACHE_FILL is set, and CAS_CACHE_DIR is not"},
		"a tilde":        {append(bucketEnv(t), "CAS_CACHE_DIR=~/tier", "CAS_CACHE_SIZE=1GiB"), "which only a shell replaces"},
		"spaces":         {append(bucketEnv(t), "CAS_CACHE_DIR=  ", "CAS_CACHE_SIZE=1GiB"), "with a space"},
		"in use":         {append(bucketEnv(t), "CAS_CACHE_DIR="+dir, "CAS_CACHE_SIZE=1GiB"), "another process"},
	} {
		cmd := casCommand(t, tt.env, "serve")
		var out bytes.Buffer
		cmd.Stderr = &out
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(out.String(), tt.says) {
			t.Errorf("%s: exit code %d, %s", name, cmd.ProcessState.ExitCode(), out.String())
		}
	}
}

// The doctor checks the folder, also of a gateway that runs.
func TestDoctorChecksTheLocalTier(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := append(bucketEnv(t), "CAS_CACHE_DIR="+filepath.Join(dir, "new", "tier"), "CAS_CACHE_SIZE=1MiB")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nothing"), link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env  []string
		says string
	}{
		{slices.Concat(env, []string{"CAS_CACHE_SIZE=4EiB"}), "the disk has room for"},
		{slices.Concat(env, []string{"CAS_CACHE_DIR="}), "CAS_CACHE_SIZE is set, and CAS_CACHE_DIR is not"},
		{slices.Concat(env, []string{"CAS_CACHE_DIR=", "CAS_CACHE_SIZE=0", "CAS_CACHE_FILL=1MiB"}), "CAS_CACHE_FILL is set, and CAS_CACHE_DIR is not"},
		{slices.Concat(env, []string{"CAS_CACHE_DIR=" + filepath.Join(blocked, "tier")}), "with CAS_CACHE_DIR"},
		{slices.Concat(env, []string{"CAS_CACHE_DIR=" + blocked}), "it is no folder"},
		{slices.Concat(env, []string{"CAS_CACHE_DIR=" + link}), "is a symbolic link to nothing"},
		{env, "has 0 B of copies, and room for 1.0 MiB"},
	} {
		out, err := casCommand(t, tt.env, "doctor").CombinedOutput()
		if !strings.Contains(string(out), tt.says) {
			t.Errorf("want %q: %v\n%s", tt.says, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the doctor left a folder: %v", err)
	}
	p := serveProcess(t, casCommand(t, env, "serve"))
	p.store(castest.RandomBytes(512 << 10))
	out, err := casCommand(t, env, "doctor").CombinedOutput()
	if !strings.Contains(string(out), "has 512 KiB of copies") {
		t.Errorf("beside a gateway: %v\n%s", err, out)
	}
	out, err = casCommand(t, append(slices.Clone(env), "CAS_DATA_DIR="+t.TempDir()), "doctor").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another process uses the folder") {
		t.Errorf("beside another gateway: %v\n%s", err, out)
	}
}

// A tier whose disk is full, read-only or damaged does not keep a gateway from starting. A first start with
// such a disk is refused, and the doctor says why.
func TestStartWithATierOnABadDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := newSmallDisk(t, dir)
	env := append(bucketEnv(t), "CAS_CACHE_DIR="+filepath.Join(dir, "tier"), "CAS_CACHE_SIZE=1GiB")
	first := slices.Concat(env, []string{"CAS_CACHE_DIR=" + filepath.Join(dir, "first")})
	p := serveProcess(t, disk.run(casCommand(t, env, "serve")))
	b := castest.RandomBytes(100_000)
	d := p.store(b)
	p.kill()
	disk.fill()
	wantRead := func(p *process) {
		t.Helper()
		if status, got, err := p.request("GET", "/v1/blobs/"+d.String(), nil); err != nil || status != 200 || !bytes.Equal(got, b) {
			t.Errorf("%d, %d bytes, %v", status, len(got), err)
		}
	}
	wantRefused := func(says, doctorSays string) {
		t.Helper()
		for command, says := range map[string]string{"serve": says, "doctor": doctorSays} {
			out, err := disk.run(casCommand(t, first, command)).CombinedOutput()
			if err == nil || !strings.Contains(string(out), says) {
				t.Errorf("%s at the first start: %v\n%s", command, err, out)
			}
		}
	}
	p = serveProcess(t, disk.run(casCommand(t, env, "serve")))
	wantRead(p)
	p.kill()
	wantRefused("its disk is full", "make room on that disk")
	disk.makeReadOnly()
	wantNoTier := func() {
		t.Helper()
		p := serveProcess(t, disk.run(casCommand(t, env, "serve")))
		wantRead(p)
		if !strings.Contains(p.log(), "runs without its local tier") {
			t.Errorf("the log does not say so:\n%s", p.log())
		}
		p.kill()
	}
	wantNoTier()
	wantRefused("mounted read-only", "mount the file system for writing")
	disk.makeUnreadable(filepath.Join(dir, "tier", "casgate-tier"))
	wantNoTier()
	if out, err := disk.run(casCommand(t, env, "doctor")).CombinedOutput(); err == nil || !strings.Contains(string(out), "input/output error") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
}

// A scrub of a gateway, which begins with its start, repairs a lost object from its tier.
func TestRepairFromTheLocalTier(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := append(bucketEnv(t), "CAS_CACHE_DIR="+dir, "CAS_CACHE_SIZE=1GiB", "CAS_SCRUB_EVERY=1us")
	p := serveProcess(t, casCommand(t, env, "serve"))
	d := p.store(castest.RandomBytes(300_000))
	waitCopy(t, dir, d, true)
	p.kill()
	objects := objectsOf(t, env)
	ref := cas.ObjectRef{Digest: d}
	if err := objects.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	p = serveProcess(t, casCommand(t, env, "serve"))
	castest.Eventually(t, "the object is there again", func() bool { return hasObject(t, objects, ref) })
	castest.Eventually(t, "the blob is live", func() bool {
		status, meta, err := p.request("GET", "/v1/blobs/"+d.String()+"/meta", nil)
		return err == nil && status == 200 && !bytes.Contains(meta, []byte("suspect"))
	})
}

// The bytes of a blob in the tier are readable while the bucket is down, by anyone who may
// read.
func TestLocalTierWithoutTheBucket(t *testing.T) {
	t.Parallel()
	bucket := s3test.NewBucket(t)
	options, proxy := s3test.NewStalling(t, bucket)
	dir := t.TempDir()
	env := []string{
		"CAS_DATA_DIR=" + t.TempDir(), "CAS_S3_ENDPOINT=" + options.Endpoint, "CAS_S3_BUCKET=" + options.Bucket,
		"CAS_S3_ACCESS_KEY=" + options.AccessKey, "CAS_S3_SECRET_KEY=" + options.SecretKey,
		"CAS_CACHE_DIR=" + dir, "CAS_CACHE_SIZE=1GiB", "CAS_HOT_BYTES=0",
	}
	p := serveProcess(t, casCommand(t, env, "serve"))
	b := castest.RandomBytes(2 << 20)
	d := p.store(b)
	waitCopy(t, dir, d, true)
	proxy.Stop()
	if status, got, err := p.request("GET", "/v1/blobs/"+d.String(), nil); err != nil || status != 200 || !bytes.Equal(got, b) {
		t.Errorf("%d, %d bytes, %v", status, len(got), err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/v1/blobs/"+d.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=1000000-1999999")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 206 || !bytes.Equal(got, b[1_000_000:2_000_000]) {
		t.Errorf("a range: %d, %d bytes, %v", resp.StatusCode, len(got), err)
	}
	proxy.Go()
}
