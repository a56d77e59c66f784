package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"casgate/cas/castest"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
)

// cmdRecorded is `recorded N`: it waits until the journal has N records.
func cmdRecorded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: recorded N")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(gatewayDeadline); ; <-poll.C {
		ts.Check(ts.Exec("cas", "ops", "--limit=0", "--json"))
		got := strings.Count(ts.ReadFile("stdout"), "\n")
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d records, want %d:\n%s", got, want, ts.ReadFile("stdout"))
		}
	}
}

// cmdField is `field VARIABLE NAME`: the variable becomes a field of the JSON object
// that the last command printed.
func cmdField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field VARIABLE NAME")
	}
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &object))
	ts.Setenv(args[0], fmt.Sprint(object[args[1]]))
}

// terminate stops a gateway in an orderly way, and waits until it has ended.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	<-p.read
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("the gateway: %v\n%s", err, p.log())
	}
}

// put uploads new bytes.
func (p *process) put(text string) (operation string) {
	p.t.Helper()
	res, err := http.Post(p.url+"/v1/blobs", "text/plain", strings.NewReader(text))
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode/100 != 2 {
		p.t.Fatalf("%d, %v", res.StatusCode, err)
	}
	return res.Header.Get("X-Request-Id")
}

// operations lists what a gateway has recorded, oldest first.
func (p *process) operations(query string) []api.Record {
	p.t.Helper()
	status, body, err := p.request("GET", "/v1/operations?limit=1000&"+query, nil)
	var page api.RecordPage
	if err == nil {
		err = json.Unmarshal(body, &page)
	}
	if err != nil || status != 200 || page.Next != "" {
		p.t.Fatalf("%d %s, %v", status, body, err)
	}
	slices.Reverse(page.Operations)
	return page.Operations
}

// A gateway that is told to stop has recorded all that it answered.
func TestJournalSurvivesAStop(t *testing.T) {
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := env(t)
			p := serveProcess(t, casCommand(t, settings, "serve"))
			var mu sync.Mutex
			var want []string
			var group sync.WaitGroup
			for client := range 4 {
				group.Go(func() {
					for i := range 100 {
						id := p.put(fmt.Sprint(client, " ", i))
						mu.Lock()
						want = append(want, id)
						mu.Unlock()
					}
				})
			}
			group.Wait()
			p.terminate()
			p = serveProcess(t, casCommand(t, settings, "serve"))
			var got []string
			for _, r := range p.operations("kind=upload") {
				got = append(got, r.ID)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%d of %d operations are recorded", len(got), len(want))
			}
		})
	}
}

// follower is a `cas ops --follow` that runs.
type follower struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	out  bytes.Buffer
	said bytes.Buffer
}

// lockedWriter writes under a lock.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// startFollower follows the gateway at a URL.
func startFollower(t *testing.T, url string, args ...string) *follower {
	t.Helper()
	f := &follower{}
	f.cmd = casCommand(t, []string{"CAS_URL=" + url, "CAS_DATA_DIR=" + t.TempDir()}, append([]string{"ops", "--follow", "--json", "--every=20ms"}, args...)...)
	f.cmd.Stdout, f.cmd.Stderr = lockedWriter{&f.mu, &f.out}, lockedWriter{&f.mu, &f.said}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if f.cmd.ProcessState == nil {
			_ = f.cmd.Process.Kill() // the test has failed already
			_ = f.cmd.Wait()
		}
	})
	return f
}

// ids are those of the operations printed. The last line may be half written.
func (f *follower) ids(t *testing.T) (ids []string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for line := range strings.Lines(f.out.String()) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var r api.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, r.ID)
	}
	return ids
}

// await waits until that many operations were printed.
func (f *follower) await(t *testing.T, n int) {
	t.Helper()
	awaitThat(t, fmt.Sprintf("%d operations", n), func() bool { return len(f.ids(t)) >= n })
}

func (f *follower) errors() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said.String()
}

var awaitThat = castest.Eventually

// A follower sees each operation once, in order, whatever becomes of the gateway
// meanwhile, and ends well when it is interrupted.
func TestFollowAcrossARestart(t *testing.T) {
	for name, env := range setUps() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := env(t)
			p := serveProcess(t, casCommand(t, settings, "serve"))
			address := strings.TrimPrefix(p.url, "http://")
			for i := range 10 {
				p.put(fmt.Sprint("before ", i))
			}
			awaitThat(t, "ten records", func() bool { return len(p.operations("")) == 10 })
			f := startFollower(t, p.url, "--limit=4")
			f.await(t, 4)
			uploads := startFollower(t, p.url, "--limit=0", "--kind=upload")
			uploads.await(t, 10)
			for range 1500 { // more than a page
				p.put("first")
			}
			p.terminate()
			awaitThat(t, "the follower to notice", func() bool { return strings.Contains(f.errors(), "trying again") })
			p = serveProcess(t, casCommand(t, append(slices.Clone(settings), "CAS_LISTEN="+address), "serve"))
			for i := range 20 {
				p.put(fmt.Sprint("then ", i))
			}
			f.await(t, 4+1500+20)
			uploads.await(t, 10+1500+20)
			for _, one := range []*follower{f, uploads} {
				if err := one.cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
				if err := one.cmd.Wait(); err != nil {
					t.Errorf("interrupted, it ends with %v: %s", err, one.errors())
				}
			}
			var want []string
			entries := p.allOperations()
			for _, r := range entries {
				want = append(want, r.ID)
			}
			if got := f.ids(t); !slices.Equal(got, want[6:]) {
				t.Errorf("the follower saw %d operations, not the %d there are, or in another order", len(got), len(want)-6)
			}
			if got := uploads.ids(t); !slices.Equal(got, want) {
				t.Errorf("the follower of uploads saw %d operations, not the %d there are, or in another order", len(got), len(want))
			}
		})
	}
}

// allOperations lists all that is recorded, however many pages it takes, oldest
// first.
func (p *process) allOperations() (all []api.Record) {
	p.t.Helper()
	var page api.RecordPage
	for after := ""; ; after = page.Next {
		status, body, err := p.request("GET", "/v1/operations?limit=1000&after="+after, nil)
		page = api.RecordPage{}
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil || status != 200 {
			p.t.Fatalf("%d %s, %v", status, body, err)
		}
		all = append(all, page.Operations...)
		if page.Next == "" {
			slices.Reverse(all)
			return all
		}
	}
}

// What the gateway could not record is said.
func TestOpsTellsWhatWasLost(t *testing.T) {
	var out, said bytes.Buffer
	p := opsPrinter{std: terminal.Streams{Out: &out, Err: &said}}
	for _, lost := range []uint64{0, 0, 3, 3, 5} {
		p.tellLost(lost)
	}
	if got := said.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "3 operations went unrecorded") || !strings.Contains(got, "5 operations") {
		t.Errorf("%q", got)
	}
}

// What ops shows of gathered operations says how many they are.
func TestGatheredOperationsShowTheirNumber(t *testing.T) {
	t.Parallel()
	last := time.Date(2026, 11, 26, 22, 0, 59, 0, time.UTC)
	r := api.Record{
		ID: "first", Kind: "download", Actor: "token:abc", FileID: "file-1", StartedAt: last.Add(-time.Minute),
		Bytes: 4096, Outcome: "ok", Count: 1200, LastStartedAt: &last,
	}
	var out bytes.Buffer
	if err := (&opsCmd{}).printer(terminal.Streams{Out: &out}).print(r); err != nil || !strings.Contains(out.String(), "file-1  x 1200\n") {
		t.Errorf("%s, error %v", out.String(), err)
	}
	out.Reset()
	if err := printOperation(&out, api.Operation{ID: "first", Record: &r}); err != nil || !strings.Contains(out.String(), "1200, the last one started 2026-11-26T22:00:59Z") {
		t.Errorf("%s, error %v", out.String(), err)
	}
	r.Count, r.LastStartedAt = 0, nil
	out.Reset()
	if err := (&opsCmd{}).printer(terminal.Streams{Out: &out}).print(r); err != nil || strings.Contains(out.String(), " x ") {
		t.Errorf("one operation: %s, error %v", out.String(), err)
	}
}

func TestTookText(t *testing.T) {
	for ms, want := range map[float64]string{0: "0 ms", 0.0123: "0.0123 ms", 1.5: "1.5 ms", 999: "999 ms", 1234: "1.23 s", 59_999: "60 s", 61_500: "1m1s", 3_600_000: "1h0m0s"} {
		if got := tookText(ms); got != want {
			t.Errorf("%v ms: %q, want %q", ms, got, want)
		}
	}
}
