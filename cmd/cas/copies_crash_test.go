package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/gateway/api"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
	"casgate/providers/simulator"
	"casgate/providers/simulator/kimisim"
)

// kimiKey is the key of the simulated account.
const kimiKey = "sk-test-0123456789abcdef"

// startKimi starts a simulator that outlives the gateways of a test, and returns
// the settings with which they find it.
func startKimi(t *testing.T, o kimisim.Options) (*kimisim.Server, []string) {
	t.Helper()
	o.Key = kimiKey
	kimi := kimisim.New(o)
	server := httptest.NewServer(kimi)
	t.Cleanup(server.Close)
	return kimi, []string{
		"CAS_KIMI_API_KEY=" + kimiKey,
		"CAS_KIMI_BASE_URL=" + server.URL + kimisim.Prefix,
		"CAS_KIMI_SETTLING=1s", leaseVariable + "=1s",
	}
}

// upload stores a blob through a gateway.
func (p *process) upload(content, name string) cas.Digest {
	p.t.Helper()
	status, body, err := p.request("POST", "/v1/blobs?name="+name, strings.NewReader(content))
	if err != nil || status/100 != 2 {
		p.t.Fatalf("upload: %d %s, %v", status, body, err)
	}
	return cas.DigestOf([]byte(content))
}

// copyAt returns a blob's copy at Kimi, by method GET or PUT.
func (p *process) copyAt(method string, d cas.Digest) (c api.Copy, status int, err error) {
	status, body, err := p.request(method, "/v1/blobs/"+d.String()+"/copies/kimi", nil)
	if err == nil && status/100 == 2 {
		err = json.Unmarshal(body, &c)
	} else if err == nil {
		err = fmt.Errorf("%d %s", status, body)
	}
	return c, status, err
}

// reconcile compares the ledger with Kimi's list, and changes nothing.
func (p *process) reconcile() api.Reconciliation {
	p.t.Helper()
	status, body, err := p.request("POST", "/v1/providers/kimi/reconcile", nil)
	var r api.Reconciliation
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	if err != nil || status != 200 {
		p.t.Fatalf("reconcile: %d %s, %v", status, body, err)
	}
	return r
}

// waitReady waits until the copy is ready, without asking for it.
func (p *process) waitReady(d cas.Digest) api.Copy {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(castest.WaitLimit); ; <-tick.C {
		c, _, err := p.copyAt("GET", d)
		if err == nil && c.State == string(ledger.StateReady) {
			return c
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the copy does not become ready: %+v, %v\n%s", c, err, p.log())
		}
	}
}

// A gateway is killed at each step of making a copy. The next one finishes the
// work without being asked: one upload, one file, one row that names it.
func TestCopyOutlivesACrashAtEachStep(t *testing.T) {
	for name, env := range setUps() {
		for _, step := range castest.Steps(
			replicator.StepClaimed, replicator.StepRoomMade, replicator.StepUploaded,
			replicator.StepProcessed, replicator.StepCompleted,
		) {
			t.Run(name+"/"+string(step), func(t *testing.T) {
				t.Parallel()
				o := kimisim.Options{}
				if step == replicator.StepProcessed {
					o.Polls = 2
				}
				kimi, account := startKimi(t, o)
				settings := append(env(t), account...)
				if name == "embedded" { // the next gateway has the folder's lock, and waits for no lease
					settings = append(settings, leaseVariable+"=1h")
				}
				first := serveProcess(t, casCommand(t, append(settings, killAtVariable+"="+string(step)), "serve"))
				d := first.upload("a document", "a.txt")
				if _, _, err := first.copyAt("PUT", d); err == nil {
					t.Fatal("the gateway was not killed")
				}
				first.kill()

				second := serveProcess(t, casCommand(t, settings, "serve"))
				checkOneCopy(t, second, kimi, d, 1)
			})
		}
	}
}

// checkOneCopy waits for the copy, and looks whether ledger and provider agree.
func checkOneCopy(t *testing.T, p *process, kimi *kimisim.Server, d cas.Digest, uploads int) {
	t.Helper()
	c := p.waitReady(d)
	if n := kimi.Uploads(); n != uploads {
		t.Errorf("%d uploads reached the provider, want %d", n, uploads)
	}
	files := kimi.Files()
	if len(files) != 1 || files[0].ID != c.ProviderFileID || files[0].Digest != d {
		t.Errorf("the provider has %+v, and the copy is %s", files, c.ProviderFileID)
	}
	if r := p.reconcile(); len(r.Unknown)+len(r.Gone) > 0 || r.Remote != 1 || r.Rows != 1 {
		t.Errorf("a reconcile found %+v", r)
	}
	again, _, err := p.copyAt("PUT", d)
	if err != nil || again.ProviderFileID != c.ProviderFileID || *again.Created || kimi.Uploads() != uploads {
		t.Errorf("asked once more: %+v, %v", again, err)
	}
}

// A gateway is killed while the provider has the upload in hand: before it was
// stored, and after.
func TestCopyOutlivesACrashDuringTheUpload(t *testing.T) {
	for _, at := range castest.Steps(simulator.HeadersRead, simulator.BodyRead, simulator.Stored) {
		t.Run(strings.ReplaceAll(string(at), " ", "-"), func(t *testing.T) {
			t.Parallel()
			kimi, account := startKimi(t, kimisim.Options{})
			settings := append(servedEnv(t), account...)
			first := serveProcess(t, casCommand(t, settings, "serve"))
			d := first.upload("a document", "a.txt")
			gate := kimi.Hold(at)
			defer gate.Release()
			go first.copyAt("PUT", d) // it is killed under it
			<-gate.Arrived()
			first.kill()
			// What the provider still does with the upload is done before the next looks.
			gate.Release()
			uploads := 1
			if at == simulator.HeadersRead {
				// Its body broke off with the connection: nothing was stored, or, where all of
				// it was on its way already, it was.
				second := serveProcess(t, casCommand(t, settings, "serve"))
				second.waitReady(d)
				uploads = kimi.Uploads()
				checkOneCopy(t, second, kimi, d, uploads)
				return
			}
			checkOneCopy(t, serveProcess(t, casCommand(t, settings, "serve")), kimi, d, uploads)
		})
	}
}

// 200 callers ask three gateways over one Postgres for the same copy.
func TestOneUploadThroughThreeProcesses(t *testing.T) {
	kimi, account := startKimi(t, kimisim.Options{})
	settings := append(servedEnv(t), account...)
	var gateways []*process
	for range 3 {
		own := append(append([]string{}, settings...), "CAS_DATA_DIR="+t.TempDir())
		gateways = append(gateways, serveProcess(t, casCommand(t, own, "serve")))
	}
	d := gateways[0].upload(strings.Repeat("a document", 1000), "a.txt")
	gate := kimi.Hold(simulator.Stored)
	defer gate.Release()
	const callers = 200
	type answer struct {
		copy api.Copy
		err  error
	}
	answers := make(chan answer, callers)
	for i := range callers {
		go func() {
			c, _, err := gateways[i%3].copyAt("PUT", d)
			answers <- answer{c, err}
		}()
	}
	<-gate.Arrived()
	gate.Release()
	ids := map[string]int{}
	created := 0
	for range callers {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		ids[a.copy.ProviderFileID]++
		if *a.copy.Created {
			created++
		}
	}
	if n := kimi.Uploads(); n != 1 || len(ids) != 1 || created != 1 || len(kimi.Files()) != 1 {
		t.Errorf("%d uploads; ids %v; %d were told that they made it", n, ids, created)
	}
}
