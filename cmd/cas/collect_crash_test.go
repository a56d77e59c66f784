package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
	"casgate/cas/folderstore"
	"casgate/cas/s3store"
	"casgate/cmd/cas/internal/settings"
)

// objectsOf opens the object store of a set-up, beside the gateways that use it.
func objectsOf(t *testing.T, env []string) cas.ObjectStore {
	t.Helper()
	value := func(name string) string {
		for _, entry := range env {
			if v, ok := strings.CutPrefix(entry, name+"="); ok {
				return v
			}
		}
		return ""
	}
	if value("CAS_S3_ENDPOINT") == "" {
		s, err := folderstore.Open(filepath.Join(value("CAS_DATA_DIR"), settings.ObjectsDir))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s, err := s3store.New(s3store.Options{
		Endpoint: value("CAS_S3_ENDPOINT"), Bucket: value("CAS_S3_BUCKET"),
		AccessKey: value("CAS_S3_ACCESS_KEY"), SecretKey: value("CAS_S3_SECRET_KEY"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// hasObject reports whether the object is there.
func hasObject(t *testing.T, objects cas.ObjectStore, ref cas.ObjectRef) bool {
	t.Helper()
	object, err := objects.Open(t.Context(), ref, 0, -1)
	if errors.Is(err, cas.ErrObjectMissing) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	object.Body.Close()
	return true
}

// store stores bytes through a gateway.
func (p *process) store(b []byte) cas.Digest {
	p.t.Helper()
	d := cas.DigestOf(b)
	if status, body, err := p.request("PUT", "/v1/blobs/"+d.String(), bytes.NewReader(b)); err != nil || status/100 != 2 {
		p.t.Fatalf("store: %d %s, %v", status, body, err)
	}
	return d
}

// remove deletes a blob through a gateway.
func (p *process) remove(d cas.Digest) {
	p.t.Helper()
	if status, body, err := p.request("DELETE", "/v1/blobs/"+d.String(), nil); err != nil || status != 202 {
		p.t.Fatalf("delete: %d %s, %v", status, body, err)
	}
}

// A gateway is killed at each step of collecting a blob. The next one completes the
// work, and a blob that was put again in between stays, as the only object.
func TestCollectionOutlivesACrashAtEachStep(t *testing.T) {
	for name, env := range setUps() {
		for _, step := range castest.Steps(collector.StepStarted, collector.StepReleased, collector.StepDeleted, collector.StepFinished) {
			t.Run(name+"/"+string(step), func(t *testing.T) {
				t.Parallel()
				kept := env(t)
				off := append(kept, "CAS_GC_INTERVAL=0", "CAS_GC_GRACE=0")
				on := append(kept, "CAS_GC_INTERVAL=20ms", "CAS_GC_GRACE=0", leaseVariable+"=200ms")
				objects := objectsOf(t, kept)

				p := serveProcess(t, casCommand(t, off, "serve"))
				stays, back := castest.RandomBytes(1000), castest.RandomBytes(2000)
				p.store(stays)
				gone, returned := p.store(castest.RandomBytes(3000)), p.store(back)
				p.remove(gone)
				p.remove(returned)
				p.kill()

				p = startProcess(t, casCommand(t, append(on, killAtVariable+"="+string(step)), "serve"))
				<-p.read // it is killed before or after it serves
				p.kill()

				p = serveProcess(t, casCommand(t, off, "serve"))
				p.store(back)
				checkBlob(t, p, returned, len(back), true)
				p.kill()

				p = serveProcess(t, casCommand(t, on, "serve"))
				castest.Eventually(t, "the removal of the object", func() bool { return !hasObject(t, objects, cas.ObjectRef{Digest: gone}) })
				checkBlob(t, p, returned, len(back), true)
				checkBlob(t, p, cas.DigestOf(stays), len(stays), true)
				if status, _, err := p.request("GET", "/v1/blobs/"+gone.String(), nil); err != nil || status != 404 {
					t.Errorf("the deleted blob is answered %d, %v", status, err)
				}
				n := 0
				for g := range int32(3) {
					if hasObject(t, objects, cas.ObjectRef{Digest: returned, Generation: g}) {
						n++
					}
				}
				if n != 1 {
					t.Errorf("the blob that came back has %d objects", n)
				}
			})
		}
	}
}

// `cas gc` is killed at each step while a gateway serves, and is then repeated.
func TestGCOutlivesACrashAtEachStep(t *testing.T) {
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := env(t)
			objects := objectsOf(t, kept)
			p := serveProcess(t, casCommand(t, append(kept, "CAS_GC_INTERVAL=0"), "serve"))
			gc := func(more ...string) error {
				cmd := casCommand(t, append(append(kept, leaseVariable+"=100ms", "CAS_GC_GRACE=0"), more...), "gc")
				cmd.Stderr = os.Stderr
				return cmd.Run()
			}
			for _, step := range castest.Steps(collector.StepStarted, collector.StepReleased, collector.StepDeleted, collector.StepFinished) {
				b := castest.RandomBytes(1000)
				d := p.store(b)
				p.remove(d)
				if err := gc(killAtVariable + "=" + string(step)); err == nil {
					t.Fatalf("cas gc was not killed at %s", step)
				}
				castest.Eventually(t, "the end of the collection", func() bool {
					err := gc()
					if e, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || e.ExitCode() != 9) {
						t.Fatal(err)
					}
					return !hasObject(t, objects, cas.ObjectRef{Digest: d})
				})
				p.store(b)
				checkBlob(t, p, d, len(b), true)
			}
		})
	}
}

// Clients put and delete the same few blobs, the gateway collects without grace, and is
// killed again and again. What was acknowledged last holds.
func TestPutAndDeleteUnderCollectionsAndCrashes(t *testing.T) {
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := append(env(t), "CAS_GC_INTERVAL=5ms", "CAS_GC_GRACE=0", leaseVariable+"=50ms")
			p := serveProcess(t, casCommand(t, settings, "serve"))
			total := 0
			for round := range castest.Thorough(24, 3) {
				clients := churnUntilKilled(p, time.Duration(100+50*(round%5))*time.Millisecond)
				p = serveProcess(t, casCommand(t, settings, "serve"))
				for _, c := range clients {
					total += c.acknowledged
					c.check(t, p)
				}
				if t.Failed() {
					t.Fatalf("after crash %d:\n%s", round+1, p.log())
				}
			}
			if total < crashes {
				t.Errorf("only %d requests were acknowledged: the test shows little", total)
			}
			t.Logf("%d puts and deletes were acknowledged", total)
		})
	}
}

// churner is a client that puts and deletes one blob in turns.
type churner struct {
	content      []byte
	acknowledged int
	// known says whether the last request was acknowledged, and present what it was.
	known, present bool
}

// churnUntilKilled runs clients with a blob each, and kills the gateway after a while.
func churnUntilKilled(p *process, after time.Duration) []*churner {
	var clients []*churner
	var wg sync.WaitGroup
	for _, size := range []int{10, 5000, 300_000, 2 << 20} {
		c := &churner{content: castest.RandomBytes(size)}
		clients = append(clients, c)
		wg.Go(func() { c.run(p) })
	}
	<-time.After(after)
	p.kill()
	wg.Wait()
	return clients
}

// run works until the gateway is killed.
func (c *churner) run(p *process) {
	path := "/v1/blobs/" + cas.DigestOf(c.content).String()
	for put := true; ; put = !put {
		method, body := "DELETE", io.Reader(nil)
		if put {
			method, body = "PUT", bytes.NewReader(c.content)
		}
		c.known = false
		status, _, err := p.request(method, path, body)
		if err != nil {
			return
		}
		// An upload that raced with a delete is answered 503, and may be repeated.
		if status/100 == 2 {
			c.known, c.present = true, put
			c.acknowledged++
		} else if put {
			put = false // so that it is repeated
		}
	}
}

// check reads the blob.
func (c *churner) check(t *testing.T, p *process) {
	t.Helper()
	d := cas.DigestOf(c.content)
	if c.known && !c.present {
		if status, _, err := p.request("GET", "/v1/blobs/"+d.String(), nil); err != nil || status != 404 {
			t.Errorf("a deleted blob is answered %d, %v", status, err)
		}
		return
	}
	checkBlob(t, p, d, len(c.content), c.known)
}
