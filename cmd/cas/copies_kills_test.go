package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/simulator"
	"casgate/providers/simulator/kimisim"
)

// kills is how often the gateway is killed.
var kills = castest.Thorough(50, 3)

// A gateway is killed again and again while it makes and deletes copies, at a provider
// that lists files two seconds late, and that loses every fifth reply to an upload. In the end each copy that was not deleted has one
// remote file, which was uploaded once, and there is no other file of this gateway. No
// reconcile has to remove any. The files of others are still there.
func TestNoRemoteFileIsLeftAfterKills(t *testing.T) {
	t.Parallel()
	kimi, account := startKimi(t, kimisim.Options{})
	kimi.Delay(simulator.Lateness{List: 2 * time.Second})
	kimi.Fail(simulator.Fault{Op: providers.OpUpload, Kind: simulator.Cut, Applied: true, Chance: 0.2})
	for _, name := range []string{"trace-4bf92f3577b34da6-1.json", "holiday.txt"} {
		kimi.Put(simulator.RemoteFile{ID: "file_" + name, Name: name, Purpose: "file-extract", Head: []byte("not ours")})
	}
	settings := append(append(embeddedEnv(t), account...), "CAS_KIMI_SETTLING=4s")

	copies := &killedCopies{asked: map[cas.Digest]bool{}, wanted: map[cas.Digest]bool{}}
	p := serveProcess(t, casCommand(t, settings, "serve"))
	for round := range kills {
		copies.workUntilKilled(p, round)
		p = serveProcess(t, casCommand(t, settings, "serve"))
	}
	castest.Eventually(t, "an end of all work on copies", func() bool { return copies.areSettled(t, p) })
	// What turns up later than this was never uploaded.
	castest.Eventually(t, "a look at the provider that finds no difference", func() bool {
		r := p.reconcile()
		return len(r.Unknown)+len(r.Gone)+len(r.Deletes) == 0
	})

	files := map[cas.Digest]int{}
	for _, f := range kimi.Files() {
		files[f.Digest]++
	}
	if n := files[cas.DigestOf([]byte("not ours"))]; n != 2 {
		t.Errorf("%d of the 2 files of others are left", n)
	}
	for d := range copies.asked {
		// No copy was asked for again after its delete.
		if n := kimi.UploadsOf(d); n > 1 || files[d] > 1 {
			t.Errorf("%s was uploaded %d times, and the provider has %d files\n%s", d.Short(), n, files[d], p.log())
		}
		wanted, known := copies.wanted[d]
		if known && (wanted && files[d] != 1 || !wanted && files[d] != 0) {
			t.Errorf("%s: wanted: %t; the provider has %d files\n%s", d.Short(), wanted, files[d], p.log())
		}
	}
	t.Logf("%d kills, %d copies, %d uploads, %d accepted deletes", kills, len(copies.asked), kimi.Uploads(), copies.deletes)
}

// killedCopies are the copies that a test has asked for.
type killedCopies struct {
	mu    sync.Mutex
	asked map[cas.Digest]bool
	// wanted is false if the copy's delete was accepted. A copy whose request, or whose
	// delete, had no answer is not in it.
	wanted  map[cas.Digest]bool
	deletes int
}

// workUntilKilled asks for new copies, deletes older and newer ones, and kills the
// gateway after a while.
func (c *killedCopies) workUntilKilled(p *process, round int) {
	var clients sync.WaitGroup
	var older []cas.Digest
	for d, wanted := range c.wanted {
		if wanted {
			older = append(older, d)
		}
	}
	slices.SortFunc(older, func(a, b cas.Digest) int { return strings.Compare(a.Hex(), b.Hex()) })
	for i := range 3 {
		clients.Go(func() {
			content := fmt.Sprintf("document %d of round %d", i, round)
			status, _, err := p.request("POST", "/v1/blobs?name=a.txt", strings.NewReader(content))
			if err != nil || status/100 != 2 {
				return
			}
			d := cas.DigestOf([]byte(content))
			c.mu.Lock()
			c.asked[d] = true
			c.mu.Unlock()
			if i == 2 { // deleted while it is made
				go func() { _, _, _ = p.copyAt("PUT", d) }() // the delete's answer decides
				c.delete(p, d)
				return
			}
			// An accepted request counts even if its gateway is killed before the copy is
			// ready.
			if status, _, err := p.request("PUT", "/v1/blobs/"+d.String()+"/copies/kimi", nil); err == nil && status/100 == 2 {
				c.set(d, true)
			}
		})
	}
	if len(older) > 0 {
		clients.Go(func() { c.delete(p, older[rand.IntN(len(older))]) })
	}
	<-time.After(time.Duration(rand.IntN(400)) * time.Millisecond)
	p.kill()
	clients.Wait()
}

// delete deletes a copy. Without an answer the test no longer knows what becomes of it.
func (c *killedCopies) delete(p *process, d cas.Digest) {
	c.mu.Lock()
	delete(c.wanted, d)
	c.mu.Unlock()
	status, _, err := p.request("DELETE", "/v1/blobs/"+d.String()+"/copies/kimi", nil)
	if err == nil && status/100 == 2 {
		c.set(d, false)
	}
}

func (c *killedCopies) set(d cas.Digest, wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted[d] = wanted
	if !wanted {
		c.deletes++
	}
}

// areSettled reports whether no copy is in work.
func (c *killedCopies) areSettled(t *testing.T, p *process) bool {
	for d := range c.asked {
		status, body, err := p.request("GET", "/v1/blobs/"+d.String()+"/copies", nil)
		var list api.CopyList
		if err == nil {
			err = json.Unmarshal(body, &list)
		}
		if err != nil || status != 200 {
			t.Fatalf("%d %s, %v", status, body, err)
		}
		for _, found := range list.Copies {
			if !ledger.State(found.State).Settled() {
				return false
			}
		}
	}
	return true
}
