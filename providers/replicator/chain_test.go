package replicator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/providers"
	"casgate/providers/glm"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
	"casgate/providers/simulator"
	"casgate/providers/simulator/glmsim"
	"casgate/providers/simulator/kimisim"
)

// The tests here run the whole chain: replicator, guard, adapter, and a simulator
// behind real HTTP.

const (
	kimiKey = "sk-0123456789abcdefSECRET"
	glmKey  = "0123456789abcdefID.secretSECRET"
)

// chain is an account at a simulator.
type chain struct {
	*guard.Guard
	log      *syncBuffer
	registry *prometheus.Registry
}

// Describe has a short settling time: the simulators list a file at once.
func (c *chain) Describe() providers.Description {
	d := c.Guard.Describe()
	d.Purposes = slices.Clone(d.Purposes)
	for i := range d.Purposes {
		d.Purposes[i].SettlingSeconds = 1e-9
	}
	return d
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// connect opens an account at a simulator, with a guard around it.
func connect(t testing.TB, handler http.Handler, prefix string, open func(providers.Settings) (providers.Provider, error), key string, o guard.Options) *chain {
	t.Helper()
	server := httptest.NewServer(handler)
	castest.Cleanup(t, server.Close)
	transport := &http.Transport{}
	castest.Cleanup(t, transport.CloseIdleConnections)
	adapter, err := open(providers.Settings{APIKey: key, BaseURL: server.URL + prefix, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	c := &chain{log: &syncBuffer{}, registry: prometheus.NewRegistry()}
	o.Observe = guard.ObserveOptions{Registry: c.registry, Log: zerolog.New(c.log).Level(zerolog.DebugLevel)}
	c.Guard = guard.New(adapter, o)
	return c
}

// through makes a replicator of the chain.
func (w *world) through(t testing.TB, c *chain) *replicator.Replicator {
	return w.replicator(t, func(o *replicator.Options) {
		o.Providers, o.Log, o.Registry = []providers.Guarded{c}, zerolog.New(c.log), c.registry
	})
}

func at(provider string, d cas.Digest) replicator.Request {
	return replicator.Request{Digest: d, Provider: provider, OperationID: "op-" + d.Short()}
}

// Kimi takes 1000 files: the 1001st takes the place of the one used least
// recently, which is removed there first.
func TestThousandAndOneFiles(t *testing.T) {
	castest.Slow(t)
	t.Parallel()
	w := newWorld(t)
	server := kimisim.New(kimisim.Options{Key: kimiKey})
	r := w.through(t, connect(t, server, kimisim.Prefix, kimi.Open, kimiKey, guard.Options{}))
	put := func(i int) cas.Digest { return w.put(t, fmt.Sprint("document ", i), "a.txt") }
	first, _, err := r.Ensure(t.Context(), at("kimi", put(0)))
	if err != nil {
		t.Fatal(err)
	}
	work := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range work {
				if _, _, err := r.Ensure(t.Context(), at("kimi", put(i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ours := castest.Thorough(kimisim.MaxFiles, 100) // the others are somebody's
	for i := ours; i < kimisim.MaxFiles; i++ {
		server.Put(simulator.RemoteFile{ID: fmt.Sprint("others-", i), Name: fmt.Sprint(i, ".txt"), Purpose: "file-extract"})
	}
	for i := 1; i < ours; i++ {
		work <- i
	}
	close(work)
	wg.Wait()
	if n := len(server.Files()); n != kimisim.MaxFiles {
		t.Fatalf("%d files", n)
	}
	if _, _, err := r.Ensure(t.Context(), at("kimi", put(kimisim.MaxFiles))); err != nil {
		t.Fatal(err)
	}
	for _, f := range server.Files() {
		if f.ID == first.FileID {
			t.Error("the file used least recently is still there")
		}
	}
	if row := w.row(t, first.Key); row.State != ledger.StateEvicted || len(server.Files()) != kimisim.MaxFiles {
		t.Errorf("the first copy is %s, and there are %d files", row.State, len(server.Files()))
	}
}

// Z.ai keeps files of agents for 180 days: a copy near its end is renewed before
// it is handed out.
func TestZaiRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := glmsim.New(glmsim.Options{Key: glmKey, International: true})
	c := connect(t, server, glmsim.Prefix, func(s providers.Settings) (providers.Provider, error) {
		return glm.New(glm.Settings{Settings: s, Zai: true})
	}, glmKey, guard.Options{})
	r := w.through(t, c)
	q := at("glm", w.put(t, "a document", "a.pdf"))
	q.Purpose = "agent"
	copied, _, err := r.Ensure(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if days := time.Until(copied.ExpiresAt).Hours() / 24; days < 179 || days > 181 {
		t.Fatalf("the copy lasts %.0f days", days)
	}
	w.age(t, copied, time.Now())
	renewed, _, err := r.Ensure(t.Context(), q)
	if err != nil || renewed.FileID == copied.FileID {
		t.Errorf("renewed: %+v, %v", renewed, err)
	}
	if files := server.Files(); len(files) != 1 || files[0].ID != renewed.FileID {
		t.Errorf("files %+v", files)
	}
}

// Many large copies at once take no more memory than a few.
func TestMemoryStaysFlat(t *testing.T) {
	w := newWorld(t) // not parallel: it looks at the whole process
	server := kimisim.New(kimisim.Options{Key: kimiKey})
	r := w.through(t, connect(t, server, kimisim.Prefix, kimi.Open, kimiKey, guard.Options{}))
	const size = 8 << 20
	copies := castest.Thorough(50, 20)
	digests := make([]cas.Digest, copies)
	content := make([]byte, size)
	for i := range digests {
		copy(content, fmt.Sprintf("document %08d", i))
		b, _, err := w.store.Put(t.Context(), cas.Upload{Body: bytes.NewReader(content), Size: size, Name: "a.txt"})
		if err != nil {
			t.Fatal(err)
		}
		digests[i] = b.Digest
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
			}
		}
	}()
	errs := make(chan error, copies)
	for _, d := range digests {
		go func() {
			for {
				_, _, err := r.Ensure(t.Context(), at("kimi", d))
				// On a busy disk 50 writes may outlast an index's patience. A caller
				// may ask again.
				if !errors.Is(err, cas.ErrIndexUnavailable) || t.Context().Err() != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range copies {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-stopped
	for _, f := range server.Files() {
		if f.Size != size {
			t.Errorf("%s has %d bytes", f.Name, f.Size)
		}
	}
	grown := int64(peak) - int64(before.HeapAlloc)
	t.Logf("%d copies of %d MiB at once: the heap grew by %d MiB at most", copies, size>>20, grown>>20)
	if grown > 96<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// No secret is in any log, error, metric or row, whatever the provider says.
func TestSecretsStayInside(t *testing.T) {
	castest.Slow(t) // the faults without an answer are tried again and again
	t.Parallel()
	for name, account := range map[string]struct {
		server interface {
			http.Handler
			Fail(simulator.Fault)
			Clear()
		}
		prefix string
		open   func(providers.Settings) (providers.Provider, error)
		key    string
		parts  []string
		file   string
	}{
		"kimi": {kimisim.New(kimisim.Options{Key: kimiKey}), kimisim.Prefix, kimi.Open, kimiKey, []string{kimiKey, kimiKey[3:]}, "a.txt"},
		"glm":  {glmsim.New(glmsim.Options{Key: glmKey}), glmsim.Prefix, glm.Open, glmKey, strings.Split(glmKey, "."), "a.pdf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := connect(t, account.server, account.prefix, account.open, account.key, guard.Options{})
			r := w.through(t, c)
			var said strings.Builder
			telltale := "the key " + account.key + " of " + strings.Join(account.parts, " and ") + " was refused <" + account.parts[len(account.parts)-1] + ">"
			for i, f := range []simulator.Fault{
				{Kind: simulator.Refuse, Status: 400, Code: "invalid_request_error", Message: telltale},
				{Kind: simulator.Refuse, Status: 401, Code: "1000", Message: telltale},
				{Kind: simulator.Refuse, Status: 429, Code: "exceeded_current_quota_error", Message: telltale},
				{Kind: simulator.Refuse, Status: 503, Code: account.key, Message: telltale},
				{Kind: simulator.Cut},
				{Kind: simulator.HTMLTimeout},
				{Kind: simulator.Garbage},
			} {
				account.server.Fail(f)
				q := at(name, w.put(t, fmt.Sprint("document ", i), account.file))
				limit := castest.WaitLimit
				if f.Kind != simulator.Refuse || f.Status >= 500 {
					limit = 300 * time.Millisecond // it is tried again and again
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				_, _, err := r.Ensure(ctx, q)
				cancel()
				if err == nil {
					t.Errorf("fault %d: no error", i)
				}
				e, _ := errors.AsType[*providers.Error](err)
				asJSON, _ := json.Marshal(e)
				fmt.Fprintf(&said, "%v %+v %s\n", err, err, asJSON)
				rows, err := r.Copies(t.Context(), q.Digest)
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range rows {
					rowJSON, _ := json.Marshal(row)
					fmt.Fprintf(&said, "%s %+v\n", rowJSON, row.Error)
				}
				account.server.Clear()
			}
			r.Close()
			families, err := c.registry.Gather()
			if err != nil || len(families) == 0 {
				t.Fatal(len(families), err)
			}
			for _, family := range families {
				said.WriteString(family.String())
			}
			said.WriteString(c.log.String())
			for _, part := range account.parts {
				if at := strings.Index(said.String(), part); at >= 0 {
					t.Errorf("%q is in %q", part, said.String()[max(0, at-200):min(said.Len(), at+100)])
				}
			}
			if !strings.Contains(c.log.String(), "exceeded_current_quota_error") && name == "kimi" {
				t.Error("the log doesn't have the provider's answer: the test shows nothing")
			}
		})
	}
}

// While a provider is down, no caller waits for it. The gateway notices its
// recovery without a request.
func TestProviderDownForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := kimisim.New(kimisim.Options{Key: kimiKey})
	var o guard.Options
	o.Break.OpenFor = 300 * time.Millisecond
	c := connect(t, server, kimisim.Prefix, kimi.Open, kimiKey, o)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = c.Run(ctx) }()
	defer func() { stop(); <-ended }()
	r := w.through(t, c)
	server.Fail(simulator.Fault{Kind: simulator.Down})
	eventually(t, "the breaker opens", func() bool {
		hasty, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _, err := r.Ensure(hasty, at("kimi", w.put(t, time.Now().String(), "a.txt")))
		if err == nil {
			t.Fatal("a copy was made while the provider was down")
		}
		return c.Health().Breaker == providers.BreakerOpen
	})
	// A call may meet the half-open breaker, which lets it through as a test.
	another := at("kimi", w.put(t, "another", "a.txt"))
	eventually(t, "the breaker refuses a call", func() bool {
		_, _, err := r.Ensure(t.Context(), another)
		e, ok := errors.AsType[*providers.Error](err)
		if !ok {
			t.Fatalf("while the provider is down: %v", err)
		}
		if e.Code == providers.CodeUnavailable && e.RetryAfter <= 0 {
			t.Errorf("the error has no time for the next attempt: %v", err)
		}
		return e.Code == providers.CodeUnavailable
	})
	server.Clear()
	eventually(t, "the provider is found well again", func() bool { return c.Health().Available })
	if _, _, err := r.Ensure(t.Context(), at("kimi", w.put(t, "another one", "a.txt"))); err != nil {
		t.Error(err)
	}
}

// Each row of the providers' error tables is retried, or not, as the table says: a
// permanent refusal takes one request, a transient failure is retried, and the
// provider's delay is kept.
func TestErrorTablesEndToEnd(t *testing.T) {
	t.Parallel()
	type account struct {
		server interface {
			http.Handler
			Fail(simulator.Fault)
			Requests(providers.Op) int
		}
		prefix, key, name, file string
		open                    func(providers.Settings) (providers.Provider, error)
	}
	kimiAccount := func() account {
		return account{kimisim.New(kimisim.Options{Key: kimiKey}), kimisim.Prefix, kimiKey, "kimi", "a.txt", kimi.Open}
	}
	glmAccount := func() account {
		return account{glmsim.New(glmsim.Options{Key: glmKey}), glmsim.Prefix, glmKey, "glm", "a.pdf", glm.Open}
	}
	run := func(t *testing.T, a account, row simulator.ErrorRow) {
		w := newWorld(t)
		r := w.through(t, connect(t, a.server, a.prefix, a.open, a.key, guard.Options{}))
		// Something to make room with.
		if _, _, err := r.Ensure(t.Context(), at(a.name, w.put(t, "another document", a.file))); err != nil {
			t.Fatal(err)
		}
		before := a.server.Requests(providers.OpUpload)
		a.server.Fail(row.Fault(1))
		_, _, err := r.Ensure(t.Context(), at(a.name, w.put(t, "a document", a.file)))
		tried := a.server.Requests(providers.OpUpload) - before
		e, _ := errors.AsType[*providers.Error](err)
		waits := row.RetryAfter > 10*time.Second // up to then the guard waits
		switch {
		case row.Retry == simulator.RetryNo || waits:
			if e == nil || tried != 1 {
				t.Fatalf("tried %d times, error %v; want one request and an error", tried, err)
			}
			if e.Status != row.Status || !slices.Contains(row.Kinds, e.Kind) {
				t.Errorf("status %d, kind %s: %v", e.Status, e.Kind, err)
			}
			if waits && (e.RetryAfter < row.RetryAfter-time.Second || e.RetryAfter > row.RetryAfter+row.RetryAfter/4) {
				t.Errorf("to be tried again in %v; the provider said %v", e.RetryAfter, row.RetryAfter)
			}
			if e.Kind != providers.KindTransient && e.Hint == "" {
				t.Errorf("no word on what to do: %v", err)
			}
		case err != nil:
			t.Errorf("tried %d times: %v", tried, err)
		case tried < 2:
			t.Errorf("tried %d times", tried)
		}
	}
	for i, row := range kimisim.Errors {
		if row.Op == providers.OpUpload {
			t.Run(fmt.Sprintf("kimi/%d %d %s", i, row.Status, row.Code), func(t *testing.T) {
				t.Parallel()
				run(t, kimiAccount(), row)
			})
		}
	}
	for i, row := range glmsim.Errors {
		// Where nothing is said of repeating, either will do.
		if row.Op == providers.OpUpload && row.Retry != simulator.RetryUnsaid {
			t.Run(fmt.Sprintf("glm/%d %d %s", i, row.Status, row.Code), func(t *testing.T) {
				t.Parallel()
				run(t, glmAccount(), row)
			})
		}
	}
}
