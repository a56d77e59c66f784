package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/cas/folderstore"
	"casgate/index/sqliteindex"
	"casgate/index/sqliteindex/sqlitetest"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// move is one thing that happens in a random history.
type move struct {
	what    string
	gateway int           // which of the two
	blob    int           // which of the three
	wait    bool          // for its end
	pause   time.Duration // after it
}

func (m move) String() string {
	return fmt.Sprintf("%s(gateway %d, blob %d, wait %t) +%v", m.what, m.gateway, m.blob, m.wait, m.pause)
}

// The moves there are: the rough ones cut a gateway off.
var (
	gentle = []string{
		"ensure", "ensure", "ensure", "begin", "remove", "report", "forget", "reconcile",
		"lose replies", "refuse uploads", "break uploads", "slow", "slow", "deafen",
		"others' files", "say full", "edit lists",
		"list late", "know late", "delete nothing",
	}
	rough = []string{"kill", "stop", "refuse deletes", "lose delete replies"}
)

func moves(whats []string) *rapid.Generator[move] {
	return rapid.Custom(func(t *rapid.T) move {
		return move{
			what:    rapid.SampledFrom(whats).Draw(t, "what"),
			gateway: rapid.IntRange(0, 1).Draw(t, "gateway"),
			blob:    rapid.IntRange(0, 2).Draw(t, "blob"),
			wait:    rapid.Bool().Draw(t, "wait"),
			pause:   time.Duration(rapid.SampledFrom([]int{0, 1, 100, 5000, 40_000}).Draw(t, "pause")) * time.Millisecond,
		}
	})
}

// Whatever happens, in whatever order, to two gateways at one provider with room
// for two files, with faults, crashes and files that vanish: once all is quiet and
// a reconcile has run, ledger and provider agree, and every copy can be had.
func TestLedgerAndProviderAgreeInTheEnd(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		whats := gentle
		if rapid.Bool().Draw(rt, "rough") {
			whats = slices.Concat(gentle, rough)
		}
		history := rapid.SliceOfN(moves(whats), 1, 25).Draw(rt, "history")
		var failures []string
		synctest.Test(t, func(t *testing.T) { failures = play(t, history) })
		if len(failures) > 0 {
			rt.Fatal(strings.Join(failures, "\n"))
		}
	})
}

// town is where a history takes place.
type town struct {
	*world
	blobs    []cas.Digest
	gateways [2]*mortal
	failures []string
	vanished map[string]bool // ids of files that a foreign client removed
	others   []string        // ids of the files of other clients and other casgates
	asked    []chan struct{} // closed when background work has ended
}

// mortal is a gateway that can die: from then on nothing it does has any effect.
type mortal struct {
	*replicator.Replicator
	ledger *dyingLedger
	stop   func()
}

func play(t *testing.T, history []move) []string {
	dir := t.TempDir()
	files, err := folderstore.Open(filepath.Join(dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	path := filepath.Join(dir, "index.sqlite")
	if err := sqlitetest.Create(path); err != nil {
		t.Fatal(err)
	}
	x, err := sqliteindex.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	store, err := cas.NewStore(files, x, cas.Options{SpoolDir: dir, HotBytes: 1 << 20, Remembered: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	to := &town{world: &world{dir: dir, store: store, ledger: x, depot: newDepot()}, vanished: make(map[string]bool)}
	to.depot.description.MaxFiles = 2
	to.depot.description.Purposes[0].SettlingSeconds = settling.Seconds()
	for i := range 3 {
		to.blobs = append(to.blobs, to.put(t, fmt.Sprint("blob ", i), "a.txt"))
	}
	for i := range to.gateways {
		to.gateways[i] = to.start(t)
	}
	for _, m := range history {
		to.make(t, m)
		time.Sleep(m.pause)
	}

	to.depot.hook(nil, nil)
	for _, g := range to.gateways {
		g.ledger.deaf.Store(false)
	}
	time.Sleep(2 * time.Hour) // all leases and delays are over, and all work is done
	to.compare(t)
	for range 2 { // the first may free a file that the second finds
		if report, err := to.gateways[0].Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: true}); err != nil || len(report.Failures) > 0 {
			to.fail("reconcile: %v, %v", err, report.Failures)
		}
		time.Sleep(time.Hour)
	}
	to.depot.change(func(d *depot) { d.unlisted, d.unknown, d.notDeleted = 0, 0, 0 })
	to.inspect(t)
	for _, g := range to.gateways {
		g.end()
	}
	for _, asked := range to.asked {
		<-asked
	}
	return to.failures
}

// compare checks the differences between ledger and provider before a repair: files
// that a foreign client removed, and nothing else, even if gateways were cut off.
func (to *town) compare(t *testing.T) {
	report, err := to.gateways[0].Reconcile(t.Context(), "depot", replicator.ReconcileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Gone {
		if !to.vanished[c.FileID] {
			to.fail("the ledger names %s, which the gateways themselves removed", c.FileID)
		}
	}
	if len(report.Unknown) > 0 {
		to.fail("files were left over: %+v", report.Unknown)
	}
}

func (to *town) fail(format string, args ...any) {
	to.failures = append(to.failures, fmt.Sprintf(format, args...))
}

func (to *town) start(t *testing.T) *mortal {
	ledger := &dyingLedger{Store: to.ledger}
	r, err := replicator.New(replicator.Options{
		Blobs: to.store, Ledger: ledger, Providers: []providers.Guarded{&dyingDepot{to.depot, &ledger.dead}},
		PollInterval: 30 * time.Second, // there is a lot of time to pass
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Run(ctx) // ctx's error
	}()
	return &mortal{r, ledger, func() { stop(); <-ended; r.Close() }}
}

func (m *mortal) end() { m.stop() }

// kill lets a gateway die as SIGKILL does: nothing is written any more.
func (to *town) kill(t *testing.T, i int) {
	old := to.gateways[i]
	old.ledger.dead.Store(true)
	done := make(chan struct{})
	to.asked = append(to.asked, done)
	go func() { defer close(done); old.end() }()
	to.gateways[i] = to.start(t)
}

// make lets a move happen.
func (to *town) make(t *testing.T, m move) {
	g, q := to.gateways[m.gateway], want(to.blobs[m.blob])
	unknown := fail(providers.OpUpload, providers.KindUnknown, "lost", nil)
	transient := fail(providers.OpUpload, providers.KindTransient, "busy", nil)
	broken := fail(providers.OpUpload, providers.KindTransient, "broken", nil)
	broken.Status = 500
	switch m.what {
	case "ensure":
		to.ask(m.wait, func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if c, _, err := g.Ensure(ctx, q); err == nil {
				to.checkContent(c)
			}
		})
	case "begin":
		_, _ = g.Begin(t.Context(), q) // a dead index is an error
	case "remove":
		to.ask(m.wait, func() { _, _ = g.Remove(context.Background(), q) })
	case "report":
		to.ask(m.wait, func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, _, _ = g.ReportLost(ctx, q, "")
		})
	case "kill":
		to.kill(t, m.gateway)
	case "stop":
		g.end()
		to.gateways[m.gateway] = to.start(t)
	case "forget":
		if ids := to.ourIDs(); len(ids) > 0 {
			to.vanished[ids[m.blob%len(ids)]] = true
			to.depot.forget(ids[m.blob%len(ids)])
		}
	case "others' files":
		to.others = append(to.others,
			to.depot.store("trace-4bf92f3577b34da6-1.json", "docs", []byte("foreign")).ID,
			to.depot.store(providers.RemoteName("cas0123456789", "a.txt", q.Digest, ".txt", 1), "docs", []byte("another casgate's")).ID)
	case "say full":
		full := fail(providers.OpUpload, providers.KindQuota, "full", nil)
		full.TooMany = true
		to.depot.hook(times(2, providers.OpUpload, full), nil)
	case "edit lists":
		to.depot.editLists(func(f *providers.RemoteFile) {
			f.Size = 0
			if m.wait {
				f.Purpose = "some_other"
			}
		})
	case "reconcile":
		_, _ = g.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: m.wait})
	case "lose replies":
		to.depot.hook(nil, times(2, providers.OpUpload, unknown))
	case "refuse uploads":
		to.depot.hook(times(3, providers.OpUpload, transient), nil)
	case "break uploads":
		to.depot.hook(nil, times(2, providers.OpUpload, broken))
	case "refuse deletes":
		to.depot.hook(times(2, providers.OpDelete, fail(providers.OpDelete, providers.KindTransient, "busy", nil)), nil)
	case "lose delete replies":
		to.depot.hook(nil, times(2, providers.OpDelete, fail(providers.OpDelete, providers.KindUnknown, "lost", nil)))
	case "list late":
		to.depot.change(func(d *depot) { d.unlisted = settling / time.Duration(m.blob+1) })
	case "know late":
		to.depot.change(func(d *depot) { d.unknown = settling / time.Duration(2*m.blob+2) })
	case "delete nothing":
		to.depot.change(func(d *depot) { d.notDeleted, d.staying = 2, m.wait })
	case "deafen":
		g.ledger.deaf.Store(m.wait)
	case "slow":
		// Longer than a lease, and it ignores the end of the caller's context.
		nap := only(providers.OpUpload, func(context.Context, string) error { time.Sleep(45 * time.Second); return nil })
		if m.wait {
			to.depot.hook(nap, nil)
		} else {
			to.depot.hook(nil, nap)
		}
	}
}

// ourIDs returns the ids of the files that the gateways made.
func (to *town) ourIDs() []string {
	return slices.DeleteFunc(to.depot.fileIDs(), func(id string) bool { return slices.Contains(to.others, id) })
}

func (to *town) ask(wait bool, f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	if wait {
		<-done
		return
	}
	to.asked = append(to.asked, done)
}

// checkContent looks whether a copy that was handed out has the right bytes.
func (to *town) checkContent(c ledger.Copy) {
	to.depot.mu.Lock()
	defer to.depot.mu.Unlock()
	if sum := to.depot.sums[c.FileID]; sum != c.Digest {
		to.fail("the copy of %s is the file %s with the bytes of %s", c.Digest.Short(), c.FileID, sum.Short())
	}
}

// inspect looks whether ledger and provider agree.
func (to *town) inspect(t *testing.T) {
	var named []string
	for _, d := range to.blobs {
		copies, err := to.ledger.Copies(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range copies {
			switch c.State {
			case ledger.StateReady:
				named = append(named, c.FileID)
				to.checkContent(c)
			case ledger.StateFailed, ledger.StateLost, ledger.StateEvicted:
			default:
				to.fail("the copy of %s is still %s: %+v", d.Short(), c.State, c)
			}
		}
	}
	slices.Sort(named)
	if ids := to.ourIDs(); !slices.Equal(ids, named) {
		to.fail("the provider has %v, and the ledger names %v", ids, named)
	}
	for _, id := range to.others {
		if !slices.Contains(to.depot.fileIDs(), id) {
			to.fail("another client's file %s is gone", id)
		}
	}
	for _, d := range to.blobs {
		c, _, err := to.gateways[1].Ensure(t.Context(), want(d))
		if err != nil {
			to.fail("in the end: %v", err)
			continue
		}
		to.checkContent(c)
		if !slices.Contains(to.depot.fileIDs(), c.FileID) {
			to.fail("in the end the copy of %s is %s, which isn't there", d.Short(), c.FileID)
		}
	}
}

// dyingLedger is the ledger as a gateway sees it that may die.
type dyingLedger struct {
	ledger.Store
	dead atomic.Bool
	deaf atomic.Bool // leases can't be extended
}

var errDead = fmt.Errorf("%w: dead", cas.ErrIndexUnavailable)

func (d *dyingLedger) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	if d.dead.Load() {
		return ledger.Copy{}, errDead
	}
	return d.Store.Copy(ctx, k)
}

func (d *dyingLedger) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	if d.dead.Load() || d.deaf.Load() && t.Verb == ledger.ExtendLease(t.Key, 0, 0).Verb {
		return ledger.Copy{}, false, errDead
	}
	return d.Store.Change(ctx, t)
}

func (d *dyingLedger) LeastUsed(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	return d.Store.LeastUsed(ctx, room, purpose, limit)
}

func (d *dyingLedger) Expired(ctx context.Context, room ledger.Key, purpose string, limit int) ([]ledger.Copy, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	return d.Store.Expired(ctx, room, purpose, limit)
}

// dyingDepot is the provider as such a gateway sees it.
type dyingDepot struct {
	*depot
	dead *atomic.Bool
}

var errCutOff = fail(providers.OpUpload, providers.KindUnknown, "dead", errors.New("the gateway is dead"))

func (d *dyingDepot) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	if d.dead.Load() {
		return providers.RemoteFile{}, errCutOff
	}
	f, err := d.depot.Upload(ctx, u)
	if d.dead.Load() {
		return providers.RemoteFile{}, errCutOff
	}
	return f, err
}

func (d *dyingDepot) Delete(ctx context.Context, id string) error {
	if d.dead.Load() {
		return errCutOff
	}
	return d.depot.Delete(ctx, id)
}

func (d *dyingDepot) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	if d.dead.Load() {
		return func(yield func(providers.RemoteFile, error) bool) { yield(providers.RemoteFile{}, errCutOff) }
	}
	return d.depot.List(ctx, purpose)
}
