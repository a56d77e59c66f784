package replicator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
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

// fillUp puts files of another program into an account.
func fillUp(server listing, n int, purpose string) {
	for i := range n {
		server.Put(simulator.RemoteFile{ID: fmt.Sprintf("foreign_%s_%d", purpose, i), Name: fmt.Sprintf("holiday %d.txt", i), Purpose: purpose, Head: []byte("of another program")})
	}
}

// fullError returns the error of a copy for which an account has no room.
func fullError(t *testing.T, err error) *providers.Error {
	t.Helper()
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Kind != providers.KindQuota || !e.TooMany || e.Code != providers.CodeAccountFull || e.Hint == "" {
		t.Fatalf("error %v; want a full account", err)
	}
	return e
}

// countEvicted returns how many of these copies were evicted.
func (w *world) countEvicted(t *testing.T, copies []ledger.Copy) int {
	t.Helper()
	n := 0
	for _, c := range copies {
		if w.row(t, c.Key).State == ledger.StateEvicted {
			n++
		}
	}
	return n
}

// An account that is full of others' files: nothing of ours is evicted for nothing, each
// body is sent once, and later ones not at all for a while. The list is read once.
func TestFullOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := kimisim.New(kimisim.Options{Key: kimiKey, MaxFiles: 12})
	r := w.through(t, connect(t, server, kimisim.Prefix, kimi.Open, kimiKey, guard.Options{}))
	var ours []ledger.Copy
	for i := range 4 {
		ours = append(ours, mustEnsure(t, r, at("kimi", w.put(t, fmt.Sprint("document ", i), "a.txt"))))
	}
	// Kimi's documented limit is 1000 files, and this account takes fewer: the limit is
	// not known.
	fillUp(server, 8, "file-extract")
	sent := server.Requests(providers.OpUpload)
	_, _, err := r.Ensure(t.Context(), at("kimi", w.put(t, "one more", "a.txt")))
	if err != nil { // one was evicted, and that made room
		t.Fatal(err)
	}
	if n := w.countEvicted(t, ours); n != 1 || server.Requests(providers.OpUpload) != sent+2 || server.Requests(providers.OpList) != 1 {
		t.Errorf("%d evicted, %d uploads, %d lists", n, server.Requests(providers.OpUpload)-sent, server.Requests(providers.OpList))
	}
	// Now nothing makes room any more: the account is full, whatever is evicted.
	fillUp(server, 10, "image")
	sent = server.Requests(providers.OpUpload)
	for i := range 15 {
		_, _, err := r.Ensure(t.Context(), at("kimi", w.put(t, fmt.Sprint("in vain ", i), "a.txt")))
		e := fullError(t, err)
		if !strings.Contains(e.Message, "of this installation") {
			t.Errorf("the message is %q", e.Message)
		}
	}
	if n := w.countEvicted(t, ours); n > 2 {
		t.Errorf("%d of %d were evicted", n, len(ours))
	}
	if n := server.Requests(providers.OpUpload) - sent; n > 16 {
		t.Errorf("15 bodies were sent %d times", n)
	}
	// Others' files go. The account fills up with ours, and then evictions help again.
	for _, f := range server.Files() {
		if strings.HasPrefix(f.ID, "foreign_") {
			server.Forget(f.ID)
		}
	}
	for i := range 14 {
		q := at("kimi", w.put(t, fmt.Sprint("fits ", i), "a.txt"))
		q.Retry = true
		mustEnsure(t, r, q)
	}
	if n := len(server.Files()); n != 12 {
		t.Errorf("there are %d files, of 12", n)
	}
}

// With a limit that is known, the numbers of the list tell that evictions can't help.
func TestFullOfOthersByAKnownLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.MaxFiles = 10
	r := w.replicator(t, nil)
	var ours []ledger.Copy
	for i := range 2 {
		ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
	}
	for i := range 10 {
		w.depot.store(fmt.Sprint("holiday ", i), "image", []byte("foreign"))
	}
	refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
	refusal.TooMany = true
	w.depot.hook(times(1000, providers.OpUpload, refusal), nil)
	sent := w.depot.count(providers.OpUpload)
	for i := range 5 {
		_, _, err := r.Ensure(t.Context(), want(w.put(t, fmt.Sprint("in vain ", i), "a.txt")))
		e := fullError(t, err)
		if want := "the account holds 10 files with 70 B of others and 2 files with 20 B of this installation; it takes 10 files"; !strings.Contains(e.Message, want) {
			t.Errorf("the message is %q; want %q in it", e.Message, want)
		}
	}
	if n := w.countEvicted(t, ours); n != 0 {
		t.Errorf("%d were evicted", n)
	}
	if sends, lists := w.depot.count(providers.OpUpload)-sent, w.depot.count(providers.OpList); sends != 1 || lists != 1 {
		t.Errorf("%d uploads and %d lists", sends, lists)
	}
	status, err := r.Status(t.Context(), "depot")
	if err != nil {
		t.Fatal(err)
	}
	ourFiles, others := status.Census.InPurpose("")
	if ourFiles != (replicator.FileCount{Files: 2, Bytes: 20}) || others != (replicator.FileCount{Files: 10, Bytes: 70}) {
		t.Errorf("the status counts %v and %v", ourFiles, others)
	}
	// A retry doesn't trust the numbers.
	w.depot.hook(nil, nil)
	for id, f := range w.depot.listAll() {
		if strings.HasPrefix(f.Name, "holiday") {
			w.depot.forget(id)
		}
	}
	q := want(w.put(t, "in vain 0", "a.txt"))
	q.Retry = true
	ensure(t, r, q)
}

// One file fits if one copy goes: only as many go as are needed.
func TestEvictionCountsOthersFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.MaxFiles = 10
	r := w.replicator(t, nil)
	var ours []ledger.Copy
	for i := range 3 {
		ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
	}
	for i := range 7 {
		w.depot.store(fmt.Sprint("holiday ", i), "image", []byte("foreign"))
	}
	refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
	refusal.TooMany = true
	w.depot.hook(func(_ context.Context, op providers.Op, _ string) error {
		if op == providers.OpUpload && len(w.depot.fileIDs()) >= 10 {
			return refusal
		}
		return nil
	}, nil)
	sent := w.depot.count(providers.OpUpload)
	ensure(t, r, want(w.put(t, "one more", "a.txt")))
	ensure(t, r, want(w.put(t, "and one more", "a.txt")))
	if n, sends := w.countEvicted(t, ours), w.depot.count(providers.OpUpload)-sent; n != 2 || sends != 3 {
		t.Errorf("%d were evicted, and 2 bodies were sent %d times", n, sends)
	}
}

// Six uploads at once to an account that takes 20 files, and has 12 of others and 8 of
// ours: each gets a place, and later uploads, too. The provider's message may name the
// limit, or not.
func TestParallelUploadsToAFullAccount(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int64{"a limit that the message names": 20, "an unknown limit": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, nil)
			var ours []ledger.Copy
			for i := range 8 {
				ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
			}
			for i := range 12 {
				w.depot.store(fmt.Sprint("holiday ", i), "image", []byte("foreign"))
			}
			refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
			refusal.TooMany, refusal.MaxFiles = true, limit
			w.depot.change(func(d *depot) { d.room, d.refusal = 20, refusal })
			first := newGate() // the first upload of each caller waits for all others
			w.depot.hook(only(providers.OpUpload, func(ctx context.Context, _ string) error { return first.pass(ctx) }), nil)
			sent := w.depot.count(providers.OpUpload)
			results := make(chan error)
			for i := range 6 {
				q := want(w.put(t, fmt.Sprint("one more ", i), "a.txt"))
				go func() { _, _, err := r.Ensure(t.Context(), q); results <- err }()
			}
			for range 6 {
				<-first.reached
			}
			first.open()
			for range 6 {
				if err := <-results; err != nil {
					t.Errorf("one of six: %v", err)
				}
			}
			if n, sends := w.countEvicted(t, ours), w.depot.count(providers.OpUpload)-sent; n != 6 || sends != 12 || len(w.depot.fileIDs()) != 20 {
				t.Errorf("%d copies were evicted, 6 bodies were sent %d times, and there are %d files", n, sends, len(w.depot.fileIDs()))
			}
			ensure(t, r, want(w.put(t, "a later one", "a.txt")))
		})
	}
}

// The place that one caller has made is not taken by another caller of this gateway.
func TestMadePlaceIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	for i := range 8 {
		ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt")))
	}
	refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
	refusal.TooMany = true
	w.depot.change(func(d *depot) { d.room, d.refusal = 8, refusal })
	slow, quick := want(w.put(t, "slow", "slow.txt")), want(w.put(t, "quick", "quick.txt"))
	ended := make(chan error, 1)
	var sent atomic.Int32
	w.depot.hook(only(providers.OpUpload, func(_ context.Context, name string) error {
		if strings.HasPrefix(name, "slow") && sent.Add(1) == 2 { // after the eviction
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _, err := r.Ensure(t.Context(), quick)
				ended <- err
			}()
			select {
			case <-done: // it has taken the place
			case <-time.After(200 * time.Millisecond): // it waits for this upload
			}
		}
		return nil
	}), nil)
	ensure(t, r, slow)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := sent.Load(); n != 2 {
		t.Errorf("the slow body was sent %d times", n)
	}
}

// A client outside takes the place that an eviction has made. The upload fails, and
// others are not told that evictions don't help.
func TestLostPlaceIsNoConclusion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	for i := range 8 {
		ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt")))
	}
	for i := range 12 {
		w.depot.store(fmt.Sprint("holiday ", i), "image", []byte("foreign"))
	}
	refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
	refusal.TooMany = true
	w.depot.change(func(d *depot) { d.room, d.refusal = 20, refusal })
	w.depot.hook(nil, func(_ context.Context, op providers.Op, _ string) error {
		if op == providers.OpDelete {
			w.depot.store("quick", "image", []byte("foreign"))
		}
		return nil
	})
	_, _, err := r.Ensure(t.Context(), want(w.put(t, "too slow", "a.txt")))
	fullError(t, err)
	w.depot.hook(nil, nil)
	ensure(t, r, want(w.put(t, "in time", "a.txt")))
}

// Others fill the account after its list was counted: nothing of ours is evicted in vain,
// and the body is sent once. The message has the limit of the provider only.
func TestRefusalCountsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := kimisim.New(kimisim.Options{Key: kimiKey, MaxFiles: 20})
	r := w.through(t, connect(t, server, kimisim.Prefix, kimi.Open, kimiKey, guard.Options{}))
	var ours []ledger.Copy
	for i := range 8 {
		ours = append(ours, mustEnsure(t, r, at("kimi", w.put(t, fmt.Sprint("document ", i), "a.txt"))))
	}
	if _, err := r.Reconcile(t.Context(), "kimi", replicator.ReconcileOptions{}); err != nil { // counts
		t.Fatal(err)
	}
	fillUp(server, 20, "image")
	sent := server.Requests(providers.OpUpload)
	_, _, err := r.Ensure(t.Context(), at("kimi", w.put(t, "in vain", "a.txt")))
	if e := fullError(t, err); !strings.Contains(e.Message, "count 20") || !strings.Contains(e.Message, "it takes 20 files") || strings.Contains(e.Message, "1000") || !strings.Contains(e.Message, "20 files with") {
		t.Errorf("the message is %q", e.Message)
	}
	if n, sends := w.countEvicted(t, ours), server.Requests(providers.OpUpload)-sent; n != 0 || sends != 1 {
		t.Errorf("%d were evicted, and the body was sent %d times", n, sends)
	}
}

// A purpose that is full at GLM takes nothing from other purposes, and no young batch
// input.
func TestEvictionKeepsToThePurpose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := glmsim.New(glmsim.Options{Key: glmKey, MaxFiles: 3})
	r := w.through(t, connect(t, server, glmsim.Prefix, glm.Open, glmKey, guard.Options{}))
	batch := mustEnsure(t, r, at("glm", w.put(t, `{"a":1}`, "in.jsonl")))
	if batch.Purpose != "batch" {
		t.Fatalf("the batch has the purpose %s", batch.Purpose)
	}
	fillUp(server, 3, "agent")
	if _, _, err := r.Ensure(t.Context(), at("glm", w.put(t, "a text", "a.txt"))); !strings.Contains(fullError(t, err).Message, "purpose agent") {
		t.Errorf("error %v", err)
	}
	fillUp(server, 2, "batch")
	_, _, err := r.Ensure(t.Context(), at("glm", w.put(t, `{"b":1}`, "in.jsonl")))
	fullError(t, err)
	if row := w.row(t, batch.Key); row.State != ledger.StateReady {
		t.Errorf("the batch is %s", row.State)
	}
}

// In an account that is full over all purposes, a young input of a batch stays, although
// it was used least recently.
func TestEvictionSparesYoungBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.Purposes = append(w.depot.description.Purposes, providers.Purpose{Name: "batch", Extensions: []string{".jsonl"}, SpareSeconds: providers.BatchSpare})
	w.depot.description.MaxFiles = 2
	r := w.replicator(t, nil)
	batch := ensure(t, r, want(w.put(t, `{"a":1}`, "in.jsonl")))
	doc := ensure(t, r, want(w.put(t, "a text", "a.txt")))
	ensure(t, r, want(w.put(t, "another", "a.txt")))
	if row := w.row(t, batch.Key); row.State != ledger.StateReady {
		t.Errorf("the batch is %s", row.State)
	}
	if row := w.row(t, doc.Key); row.State != ledger.StateEvicted {
		t.Errorf("the text is %s", row.State)
	}
	second := replicator.Request{Digest: w.put(t, `{"b":1}`, "in.jsonl"), Provider: "depot", OperationID: "op"}
	ensure(t, r, second)
	_, _, err := r.Ensure(t.Context(), want(w.put(t, "no room", "a.txt")))
	if fullError(t, err); !bytes.Contains([]byte(err.Error()), []byte("too young")) {
		t.Errorf("error %v", err)
	}
}

// Copies that can't go now are the reason that the error names, not the files of others.
func TestFullOfCopiesThatStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.Purposes = append(w.depot.description.Purposes, providers.Purpose{Name: "batch", Extensions: []string{".jsonl"}, SpareSeconds: providers.BatchSpare})
	w.depot.description.MaxFiles = 2
	r := w.replicator(t, nil)
	ensure(t, r, want(w.put(t, `{"a":1}`, "in.jsonl")))
	w.depot.store("holiday", "image", []byte("foreign"))
	refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
	refusal.TooMany = true
	w.depot.hook(times(1000, providers.OpUpload, refusal), nil)
	_, _, err := r.Ensure(t.Context(), want(w.put(t, "no room", "a.txt")))
	e := fullError(t, err)
	if !strings.Contains(e.Message, "1 file with 7 B of others and 1 file") || !strings.Contains(e.Hint, "try again later") || strings.Contains(e.Hint, "delete files of others") {
		t.Errorf("%s; the hint is %q", e.Message, e.Hint)
	}
}

func mustEnsure(t *testing.T, r *replicator.Replicator, q replicator.Request) ledger.Copy {
	t.Helper()
	c, _, err := r.Ensure(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Two casgates with indexes of their own share an account and its blobs. Each reconcile
// with Apply deletes only what its own installation has left, and a lost reply adopts
// only the own file.
func TestTwoInstallationsShareAnAccount(t *testing.T) {
	t.Parallel()
	server := kimisim.New(kimisim.Options{Key: kimiKey})
	type installation struct {
		w *world
		r *replicator.Replicator
		c ledger.Copy
	}
	var both [2]installation
	for i := range both {
		w := newWorld(t)
		r := w.through(t, connect(t, server, kimisim.Prefix, kimi.Open, kimiKey, guard.Options{}))
		server.Fail(simulator.Fault{Op: providers.OpUpload, Times: 1, Kind: simulator.Cut, Applied: true})
		both[i] = installation{w, r, mustEnsure(t, r, at("kimi", w.put(t, "the same text", "a.txt")))}
	}
	if n := len(server.Files()); n != 2 || both[0].c.FileID == both[1].c.FileID {
		t.Fatalf("the copies are %s and %s, of %d files", both[0].c.FileID, both[1].c.FileID, n)
	}
	left := providers.RemoteName(both[0].w.mark(t), "left.txt", both[0].c.Digest, ".md", 7)
	server.Put(simulator.RemoteFile{ID: "left", Name: left, Purpose: "file-extract", Head: []byte("the same text")})
	for _, i := range []int{1, 0} {
		report, err := both[i].r.Reconcile(t.Context(), "kimi", replicator.ReconcileOptions{Apply: true})
		if err != nil || len(report.Failures)+len(report.Gone) > 0 || len(report.Unknown) != 1-i || report.Others.Files != 1+i {
			t.Errorf("the reconcile of %d: %+v, error %v", i, report, err)
		}
	}
	if files := server.Files(); len(files) != 2 || files[0].ID != both[0].c.FileID || files[1].ID != both[1].c.FileID {
		t.Errorf("the files are %+v", files)
	}
}

// uploadsAtOnce asks for new copies of n texts at once. The work of each begins when all
// have claimed their rows. It returns the copies and the errors.
func (w *world) uploadsAtOnce(t *testing.T, set func(*replicator.Options), n int) (made []ledger.Copy, errs []error) {
	t.Helper()
	claimed := newGate()
	r := w.replicator(t, func(o *replicator.Options) {
		o.OnStep = func(s replicator.Step) {
			if s == replicator.StepClaimed {
				_ = claimed.pass(context.Background()) // it ends when the gate opens
			}
		}
		if set != nil {
			set(o)
		}
	})
	type result struct {
		c   ledger.Copy
		err error
	}
	results := make(chan result)
	for i := range n {
		q := want(w.put(t, fmt.Sprint("at once ", i), "a.txt"))
		go func() { c, _, err := r.Ensure(t.Context(), q); results <- result{c, err} }()
	}
	for range n {
		<-claimed.reached
	}
	claimed.open()
	for range n {
		if got := <-results; got.err != nil {
			errs = append(errs, got.err)
		} else {
			made = append(made, got.c)
		}
	}
	return made, errs
}

// More uploads wait for room than copies may be evicted: as many succeed as are evicted,
// and none of them is evicted for another one. The others are refused, and evict nothing.
func TestAsManyUploadsAsEvictions(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"a known limit": true, "a limit that the first refusal names": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.depot.description.Purposes = append(w.depot.description.Purposes, providers.Purpose{Name: "batch", Extensions: []string{".jsonl"}, SpareSeconds: providers.BatchSpare})
			if told {
				w.depot.description.MaxFiles = 9
			}
			r := w.replicator(t, nil)
			for i := range 5 {
				ensure(t, r, want(w.put(t, fmt.Sprint("batch ", i), "in.jsonl")))
			}
			var docs []ledger.Copy
			for i := range 4 {
				docs = append(docs, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
			}
			refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
			refusal.TooMany, refusal.MaxFiles = true, 9
			w.depot.change(func(d *depot) { d.room, d.refusal = 9, refusal })
			sent := w.depot.count(providers.OpUpload)
			made, errs := w.uploadsAtOnce(t, nil, 6)
			if len(made) != 4 || len(errs) != 2 || w.countEvicted(t, docs) != 4 || len(w.depot.fileIDs()) != 9 {
				t.Errorf("%d uploads succeeded, %d copies were evicted, and there are %d files; errors %v", len(made), w.countEvicted(t, docs), len(w.depot.fileIDs()), errs)
			}
			for _, err := range errs {
				fullError(t, err)
			}
			for _, c := range made {
				if now := w.row(t, c.Key); now.State != ledger.StateReady || now.FileID != c.FileID {
					t.Errorf("a caller has got %s, and the copy is %s", c.FileID, now.State)
				}
			}
			if sends := w.depot.count(providers.OpUpload) - sent; told && sends != 4 || sends > 10 {
				t.Errorf("6 bodies were sent %d times", sends)
			}
		})
	}
}

// Uploads of another gateway wait for room, too. They don't make this one evict all copies.
func TestUploadsOfAnotherGatewayWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.MaxFiles = 6
	r := w.replicator(t, nil)
	var ours []ledger.Copy
	for i := range 6 {
		ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
	}
	for i := range 8 { // another gateway has claimed them
		elsewhere := ledger.Wanted{Key: ours[0].Key, Size: 1, OperationID: "elsewhere"}
		elsewhere.Digest = w.put(t, fmt.Sprint("elsewhere ", i), "a.txt")
		if _, won, err := w.ledger.Change(t.Context(), ledger.Claim(elsewhere, time.Hour)); err != nil || !won {
			t.Fatalf("claim: won %v, error %v", won, err)
		}
	}
	ensure(t, r, want(w.put(t, "one more", "a.txt")))
	if n := w.countEvicted(t, ours); n != 1 {
		t.Errorf("%d copies were evicted for one", n)
	}
}

// A file that vanished at the provider frees nothing, so the eviction takes another one.
func TestVanishedFilesAreNoEvictions(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int64{"a limit that the message names": 10, "an unknown limit": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, nil)
			var vanished, there []ledger.Copy
			for i := range 20 {
				c := ensure(t, r, want(w.put(t, fmt.Sprint("vanished ", i), "a.txt")))
				vanished = append(vanished, c)
				w.depot.forget(c.FileID)
			}
			for i := range 5 {
				there = append(there, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
			}
			for i := range 5 {
				w.depot.store(fmt.Sprint("holiday ", i), "image", []byte("foreign"))
			}
			refusal := fail(providers.OpUpload, providers.KindQuota, "full", nil)
			refusal.TooMany, refusal.MaxFiles = true, limit
			w.depot.change(func(d *depot) { d.room, d.refusal = 10, refusal })
			sent := w.depot.count(providers.OpUpload)
			ensure(t, r, want(w.put(t, "one more", "a.txt")))
			if n, m, sends := w.countEvicted(t, vanished), w.countEvicted(t, there), w.depot.count(providers.OpUpload)-sent; n != 0 || m != 1 || sends != 2 {
				t.Errorf("%d vanished files and %d others were evicted, and the body was sent %d times", n, m, sends)
			}
		})
	}
}

// A copy that was handed out a moment ago stays until the moment is over. One that was
// handed out while the upload waited stays.
func TestEvictionSparesCopiesJustHandedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.store.Close()
		w.depot.description.MaxFiles = 1
		r := w.replicator(t, func(o *replicator.Options) { o.HandedOut = time.Minute })
		defer r.Close()
		first := ensure(t, r, want(w.put(t, "first", "a.txt")))
		began := time.Now()
		ensure(t, r, want(w.put(t, "second", "a.txt")))
		if waited := time.Since(began); w.row(t, first.Key).State != ledger.StateEvicted || waited < 50*time.Second || waited > 2*time.Minute {
			t.Errorf("the first copy is %s after %v", w.row(t, first.Key).State, waited)
		}
	})
}

// A copy that a caller gets while the upload waits for another one stays, though the ledger
// doesn't have the use yet.
func TestEvictionSparesCopiesHandedOutWhileItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.store.Close()
		w.depot.description.MaxFiles = 2
		r := w.replicator(t, func(o *replicator.Options) { o.HandedOut = time.Minute })
		defer r.Close()
		first := ensure(t, r, want(w.put(t, "first", "a.txt")))
		time.Sleep(time.Second)
		second := ensure(t, r, want(w.put(t, "second", "a.txt")))
		third := want(w.put(t, "third", "a.txt"))
		made := make(chan error)
		go func() { _, _, err := r.Ensure(t.Context(), third); made <- err }()
		time.Sleep(30 * time.Second) // the upload waits
		ensure(t, r, want(first.Digest))
		if err := <-made; err != nil {
			t.Fatal(err)
		}
		if a, b := w.row(t, first.Key).State, w.row(t, second.Key).State; a != ledger.StateReady || b != ledger.StateEvicted {
			t.Errorf("the copy that was handed out is %s, and the other one %s", a, b)
		}
	})
}

// A copy that a caller gets while the one before it is deleted stays.
func TestEvictionSparesCopiesHandedOutWhileItDeletes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.MaxBytes = 30
	r := w.replicator(t, nil)
	var ours []ledger.Copy
	for i := range 3 {
		ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
	}
	w.depot.hook(only(providers.OpDelete, func(_ context.Context, id string) error {
		if id == ours[0].FileID {
			ensure(t, r, want(ours[1].Digest))
		}
		return nil
	}), nil)
	ensure(t, r, want(w.put(t, "as large as the two", "a.txt")))
	for i, state := range []ledger.State{ledger.StateEvicted, ledger.StateReady, ledger.StateEvicted} {
		if now := w.row(t, ours[i].Key); now.State != state {
			t.Errorf("copy %d is %s; want %s", i, now.State, state)
		}
	}
}

// meanwhileLedger runs a function before each claim of a copy for its eviction.
type meanwhileLedger struct {
	ledger.Store
	meanwhile func(k ledger.Key) error
}

func (l meanwhileLedger) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	if t.Verb == ledger.Evict(ledger.Copy{}, 0).Verb {
		if err := l.meanwhile(t.Key); err != nil {
			return ledger.Copy{}, false, err
		}
	}
	return l.Store.Change(ctx, t)
}

// An eviction goes on to the next copy if another gateway takes or uses the one that it
// found.
func TestEvictionGoesOnToTheNextCopy(t *testing.T) {
	t.Parallel()
	deleted := func(ctx context.Context, x ledger.Store, c ledger.Copy) error {
		row, _, err := x.Change(ctx, ledger.Delete(c.Key, "elsewhere", time.Hour))
		if err == nil {
			_, _, err = x.Change(ctx, ledger.FinishDelete(c.Key, row.Fence, ledger.StateDeleted, 0))
		}
		return err
	}
	used := func(ctx context.Context, x ledger.Store, c ledger.Copy) error {
		return x.UseCopies(ctx, map[ledger.Key]time.Time{c.Key: time.Now().Add(time.Minute)})
	}
	evicting := func(ctx context.Context, x ledger.Store, c ledger.Copy) error {
		_, _, err := x.Change(ctx, ledger.Evict(c, time.Hour))
		return err
	}
	unanswered := func(context.Context, ledger.Store, ledger.Copy) error {
		return fmt.Errorf("%w: lost", cas.ErrIndexUnavailable)
	}
	for name, test := range map[string]struct {
		copies    int
		meanwhile func(context.Context, ledger.Store, ledger.Copy) error
		second    ledger.State
		full      bool
	}{
		"the first was used":           {2, used, ledger.StateEvicted, false},
		"the first was deleted":        {2, deleted, ledger.StateReady, false}, // that made room
		"the first is evicted":         {2, evicting, ledger.StateReady, false},
		"the index doesn't answer one": {2, unanswered, ledger.StateReady, false}, // the next attempt evicts the first
		"the only one was used":        {1, used, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.depot.description.MaxFiles = int64(test.copies)
			var ours []ledger.Copy
			inner, done := w.ledger, false
			w.ledger = meanwhileLedger{inner, func(k ledger.Key) error {
				if done || k != ours[0].Key {
					return nil
				}
				done = true
				return test.meanwhile(t.Context(), inner, ours[0])
			}}
			r := w.replicator(t, nil)
			for i := range test.copies {
				ours = append(ours, ensure(t, r, want(w.put(t, fmt.Sprint("document ", i), "a.txt"))))
			}
			c, _, err := r.Ensure(t.Context(), want(w.put(t, "one more", "a.txt")))
			if test.full {
				fullError(t, err)
			} else if err != nil || c.State != ledger.StateReady {
				t.Errorf("the copy is %s, error %v", c.State, err)
			}
			if test.copies > 1 {
				if now := w.row(t, ours[1].Key); now.State != test.second {
					t.Errorf("the second copy is %s; want %s", now.State, test.second)
				}
			}
		})
	}
}

// A caller deletes a copy while it is evicted. It is deleted, whether the provider refuses
// the eviction's delete or not, and is not ready again.
func TestDeleteMeetsAnEviction(t *testing.T) {
	deletes := map[string]func(t *testing.T, w *world, r *replicator.Replicator, q replicator.Request) ledger.Copy{
		"of the copy": func(t *testing.T, _ *world, r *replicator.Replicator, q replicator.Request) ledger.Copy {
			q.OperationID = "removal"
			rows, err := r.Remove(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return rows[0]
		},
		"everywhere": func(t *testing.T, w *world, r *replicator.Replicator, q replicator.Request) ledger.Copy {
			return removeAll(t, r, w, q)[0]
		},
	}
	for name, remove := range deletes {
		for outcome, refused := range map[string]int{"refused": 1, "done": 0} {
			t.Run(name+", eviction "+outcome, func(t *testing.T) {
				inRoom(t, 2, func(t *testing.T, w *world, r *replicator.Replicator) {
					q := want(w.put(t, "first", "a.txt"))
					first := ensure(t, r, q)
					time.Sleep(time.Second)
					second := ensure(t, r, want(w.put(t, "second", "a.txt")))
					time.Sleep(settling)
					deleting, goOn := w.depot.holdDelete()
					w.depot.change(func(d *depot) { d.notDeleted, d.staying = refused, true })
					deletes := w.depot.count(providers.OpDelete)
					third := want(w.put(t, "third", "a.txt"))
					made := make(chan error)
					go func() { _, _, err := r.Ensure(t.Context(), third); made <- err }()
					<-deleting
					if row := remove(t, w, r, q); row.State != ledger.StateDeleting || row.Evicting || row.OperationID != "removal" {
						t.Errorf("the row is %+v", row)
					}
					goOn()
					if err := <-made; err != nil {
						t.Errorf("the upload: %v", err)
					}
					time.Sleep(2 * time.Minute)
					if _, err := r.Copy(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) || slices.Contains(w.depot.fileIDs(), first.FileID) {
						t.Errorf("error %v; there are still %v", err, w.depot.fileIDs())
					}
					if state := w.row(t, second.Key).State; refused == 0 && state != ledger.StateReady {
						t.Errorf("the second copy is %s", state)
					}
					if n := w.depot.count(providers.OpDelete) - deletes; refused == 0 && n != 1 {
						t.Errorf("the file was deleted %d times", n)
					}
				})
			})
		}
	}
}

// A caller deletes an evicted copy that has the file of a lost upload, too: both files are
// gone before the delete is confirmed, and its end is reported once.
func TestDeleteMeetsAnEvictionWithAStray(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.depot.description.MaxFiles = 1
		w.depot.description.Purposes[0].SettlingSeconds = settling.Seconds()
		told := &events{}
		r := w.replicator(t, func(o *replicator.Options) { o.PollInterval, o.OnEvent = 15*time.Second, told.take })
		run(t, r)
		q := want(w.put(t, "first", "a.txt"))
		w.depot.hook(times(1, providers.OpUpload, lostReply()), nil)
		first := ensure(t, r, q)
		late := w.depot.store(providers.RemoteName(w.mark(t), "a.txt", q.Digest, ".txt", first.Fence-1), "docs", []byte("first"))
		deleting, goOn := w.depot.holdDelete()
		third := want(w.put(t, "third", "a.txt"))
		made := make(chan error)
		go func() { _, _, err := r.Ensure(t.Context(), third); made <- err }()
		<-deleting
		q.OperationID = "removal"
		if _, err := r.Remove(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		goOn()
		if err := <-made; err != nil {
			t.Errorf("the upload: %v", err)
		}
		if e := told.one(t, "removal"); e.Kind != replicator.EventDeleted || slices.Contains(w.depot.fileIDs(), late.ID) {
			t.Errorf("reported %+v; there are %v", e, w.depot.fileIDs())
		}
		if _, err := r.Copy(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) || len(w.depot.fileIDs()) != 1 {
			t.Errorf("error %v; there are %v", err, w.depot.fileIDs())
		}
	})
}

// endedLedger ends an eviction between a delete that meets it and the next call.
type endedLedger struct {
	ledger.Store
	end func()
}

func (l endedLedger) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	if t.Verb == ledger.RepeatDelete(ledger.Key{}, "").Verb {
		l.end()
	}
	return l.Store.Change(ctx, t)
}

// The eviction of a copy is refused at the moment when a caller deletes it: it is deleted.
func TestDeleteMeetsTheEndOfAnEviction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inner := w.ledger
	q := want(w.put(t, "first", "a.txt"))
	var evicted ledger.Copy
	w.ledger = endedLedger{inner, func() {
		if _, stopped, err := inner.Change(t.Context(), ledger.StopEviction(evicted.Key, evicted.Fence)); err != nil || !stopped {
			t.Errorf("stopped %v, error %v", stopped, err)
		}
	}}
	r := w.replicator(t, nil)
	var err error
	if evicted, _, err = inner.Change(t.Context(), ledger.Evict(ensure(t, r, q), time.Hour)); err != nil {
		t.Fatal(err)
	}
	q.OperationID = "removal"
	if rows, err := r.Remove(t.Context(), q); err != nil || rows[0].State != ledger.StateDeleted || len(w.depot.fileIDs()) != 0 {
		t.Errorf("%+v, error %v; there are still %v", rows, err, w.depot.fileIDs())
	}
}
