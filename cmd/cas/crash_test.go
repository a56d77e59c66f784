package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
)

// crashes is how often each set-up is killed.
var crashes = castest.Thorough(24, 3)

// A gateway is killed at random moments under parallel uploads. After every
// restart each blob it acknowledged is there, whole, and none that it did not
// acknowledge is there in part.
func TestNothingAcknowledgedIsLostInACrash(t *testing.T) {
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := env(t)
			acknowledged := map[cas.Digest]int{}
			p := serveProcess(t, casCommand(t, settings, "serve"))
			for round := range crashes {
				sent, acked := uploadUntilKilled(p, round%2, time.Duration(rand.IntN(300))*time.Millisecond)
				p = serveProcess(t, casCommand(t, settings, "serve"))
				for d, size := range sent {
					checkBlob(t, p, d, size, acked[d])
					if acked[d] {
						acknowledged[d] = size
					}
				}
				if t.Failed() {
					t.Fatalf("after crash %d, with %d of %d uploads acknowledged:\n%s", round+1, len(acked), len(sent), p.log())
				}
			}
			for d, size := range acknowledged {
				checkBlob(t, p, d, size, true)
			}
			t.Logf("%d crashes, %d acknowledged blobs, all there", crashes, len(acknowledged))
		})
	}
}

// uploadUntilKilled uploads from several clients at once, in every form, and
// kills the gateway a while after it has acknowledged the least number of uploads. It
// returns what was sent, by size, and what was acknowledged.
func uploadUntilKilled(p *process, least int, after time.Duration) (sent map[cas.Digest]int, acked map[cas.Digest]bool) {
	sent, acked = map[cas.Digest]int{}, map[cas.Digest]bool{}
	enough := make(chan struct{})
	if least == 0 {
		close(enough)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for client := range 6 {
		wg.Go(func() {
			for i := 0; ; i++ {
				b := castest.RandomBytes([]int{10, 5000, 300_000, 2 << 20}[(client+i)%4])
				d := cas.DigestOf(b)
				mu.Lock()
				sent[d] = len(b)
				mu.Unlock()
				method, path := "PUT", "/v1/blobs/"+d.String()
				if i%3 == 0 {
					method, path = "POST", "/v1/blobs"
				}
				status, _, err := p.request(method, path, bytes.NewReader(b))
				if err != nil {
					return // killed
				}
				if status/100 == 2 {
					mu.Lock()
					acked[d] = true
					if len(acked) == least {
						close(enough)
					}
					mu.Unlock()
				}
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(castest.WaitLimit):
		p.t.Error("no upload was acknowledged")
	}
	<-time.After(after)
	p.kill()
	wg.Wait()
	return sent, acked
}

// checkBlob reads a blob: it must be whole, or, if it needn't be there, unknown.
func checkBlob(t *testing.T, p *process, d cas.Digest, size int, must bool) {
	t.Helper()
	status, b, err := p.request("GET", "/v1/blobs/"+d.String(), nil)
	switch {
	case err != nil:
		t.Errorf("%s (%d bytes, acknowledged: %t): %v", d.Short(), size, must, err)
	case status == 404 && !must:
	case status != 200:
		t.Errorf("%s (%d bytes, acknowledged: %t): status %d", d.Short(), size, must, status)
	case cas.DigestOf(b) != d:
		t.Errorf("%s: %d bytes came, not the %d that were sent", d.Short(), len(b), size)
	}
}

// Many processes, one blob: see also the same test within one process, of which
// there are more clients.
func TestSameBytesThroughTwoProcesses(t *testing.T) {
	settings := servedEnv(t)
	other := append(append([]string{}, settings...), "CAS_DATA_DIR="+t.TempDir())
	gateways := []*process{serveProcess(t, casCommand(t, settings, "serve")), serveProcess(t, casCommand(t, other, "serve"))}
	b := castest.RandomBytes(2 << 20)
	d := cas.DigestOf(b)
	statuses := make(chan string, 32)
	for i := range 32 {
		go func() {
			status, body, err := gateways[i%2].request("PUT", "/v1/blobs/"+d.String(), bytes.NewReader(b))
			if err != nil || status/100 != 2 {
				statuses <- fmt.Sprintf("client %d: %d %s, %v", i, status, body, err)
				return
			}
			statuses <- ""
		}()
	}
	for range 32 {
		if failure := <-statuses; failure != "" {
			t.Error(failure)
		}
	}
	for _, p := range gateways {
		checkBlob(t, p, d, len(b), true)
	}
	// What one gateway deletes the other forgets: it is told, and does not wait.
	if status, body, err := gateways[0].request("DELETE", "/v1/blobs/"+d.String(), nil); err != nil || status != 202 {
		t.Fatalf("delete: %d %s, %v", status, body, err)
	}
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(4 * time.Second); ; <-poll.C {
		if status, _, err := gateways[1].request("GET", "/v1/blobs/"+d.String(), nil); err == nil && status == 404 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the other gateway still serves the deleted blob")
		}
	}
}

// SIGHUP, which a closed terminal sends, ends the gateway as orderly as SIGTERM does.
func TestHangupIsAnOrderlyStop(t *testing.T) {
	// Below nohup the gateway would inherit that the signal is ignored.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	p := serveProcess(t, casCommand(t, embeddedEnv(t), "serve"))
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-p.read
	if err := p.cmd.Wait(); err != nil || !strings.Contains(p.log(), "stopping") {
		t.Errorf("%v\n%s", err, p.log())
	}
}
