package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// events collects a replicator's events.
type events struct {
	mu  sync.Mutex
	all []replicator.Event
}

func (e *events) take(one replicator.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, one)
}

// of returns the events of an operation.
func (e *events) of(operation string) (some []replicator.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.all {
		if one.OperationID == operation {
			some = append(some, one)
		}
	}
	return some
}

// one waits for the event of an operation, of which there is to be one.
func (e *events) one(t *testing.T, operation string) replicator.Event {
	t.Helper()
	eventually(t, "the end of "+operation+" is told", func() bool { return len(e.of(operation)) > 0 })
	some := e.of(operation)
	if len(some) != 1 {
		t.Fatalf("of %s was told %+v", operation, some)
	}
	return some[0]
}

func (e *events) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all)
}

// asks returns a request with an actor.
func asks(w *world, t *testing.T, operation string) replicator.Request {
	return replicator.Request{
		Digest: w.put(t, "content of "+operation, "x.txt"), Provider: "depot", OperationID: operation, Actor: "somebody", File: "file-1",
	}
}

func TestWhoWaitsIsToldAndNobodyElse(t *testing.T) {
	t.Parallel()
	w, told := newWorld(t), &events{}
	r := w.replicator(t, func(o *replicator.Options) { o.OnEvent, o.MaxAttempts = told.take, 1 })
	run(t, r)
	ensure(t, r, asks(w, t, "made"))
	ensure(t, r, asks(w, t, "made"))
	w.depot.hook(func(_ context.Context, op providers.Op, _ string) error {
		if op == providers.OpUpload {
			return fail(op, providers.KindPermanent, "bad", nil)
		}
		return nil
	}, nil)
	if _, _, err := r.Ensure(t.Context(), asks(w, t, "refused")); providers.KindOf(err) != providers.KindPermanent {
		t.Errorf("%v", err)
	}
	w.depot.hook(nil, nil)
	removed := asks(w, t, "made")
	removed.OperationID = "removed"
	if rows, err := r.Remove(t.Context(), removed); err != nil || rows[0].State != ledger.StateDeleted {
		t.Errorf("%+v, %v", rows, err)
	}
	if n := told.count(); n != 0 {
		t.Errorf("%d events of operations whose callers got the result: %+v", n, told.all)
	}
	// A caller without an actor keeps no record, so the replicator reports the event.
	anonymous := asks(w, t, "anonymous")
	anonymous.Actor = ""
	ensure(t, r, anonymous)
	if e := told.one(t, "anonymous"); e.Kind != replicator.EventSynced || e.Actor != "" || e.Err != nil || e.Copy.State != ledger.StateReady {
		t.Errorf("%+v", e)
	}
}

func TestWhatGoesOnIsToldAtItsEnd(t *testing.T) {
	t.Parallel()
	w, told := newWorld(t), &events{}
	r := w.replicator(t, func(o *replicator.Options) { o.OnEvent, o.MaxAttempts = told.take, 1 })
	run(t, r)
	gate := newGate()
	w.depot.hook(func(ctx context.Context, op providers.Op, _ string) error {
		if op == providers.OpUpload {
			return gate.pass(ctx)
		}
		return nil
	}, nil)
	before := time.Now()
	begun, err := r.Begin(t.Context(), asks(w, t, "begun"))
	if err != nil || begun.OperationID != "begun" {
		t.Fatalf("%+v, %v", begun, err)
	}
	<-gate.reached
	for name, leave := range map[string]func() (context.Context, context.CancelFunc){
		"cancelled": func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) },
		"late": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 5*time.Second)
		},
	} {
		q, joins := asks(w, t, name), asks(w, t, name)
		ctx, cancel := leave()
		left := make(chan error, 1)
		go func() {
			_, _, err := r.Ensure(ctx, q)
			left <- err
		}()
		<-gate.reached
		if name == "cancelled" {
			cancel()
		}
		err := <-left
		cancel()
		if _, ok := errors.AsType[replicator.Detached](err); !ok {
			t.Errorf("%s: %v says nothing of the work that goes on", name, err)
		}
		if want := map[string]error{"cancelled": context.Canceled, "late": providers.ErrCopyInProgress}[name]; !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		// A caller that leaves another caller's work causes no event of its own.
		joins.OperationID = "joins " + name
		short, end := context.WithTimeout(t.Context(), 2*time.Second)
		_, _, err = r.Ensure(short, joins)
		end()
		if _, ok := errors.AsType[replicator.Detached](err); ok || !errors.Is(err, providers.ErrCopyInProgress) {
			t.Errorf("joins %s: %v", name, err)
		}
	}
	gate.open()
	for _, operation := range []string{"begun", "cancelled", "late"} {
		e := told.one(t, operation)
		if e.Kind != replicator.EventSynced || e.Actor != "somebody" || e.File != "file-1" || e.Err != nil || e.Copy.State != ledger.StateReady || e.Start.Before(before) {
			t.Errorf("%+v", e)
		}
	}

	// A delete that the provider confirms later.
	w.depot.hook(func(_ context.Context, op providers.Op, _ string) error {
		if op == providers.OpDelete {
			return fail(op, providers.KindTransient, "later", nil)
		}
		return nil
	}, nil)
	removed := asks(w, t, "begun")
	removed.OperationID = "removed"
	if rows, err := r.Remove(t.Context(), removed); err != nil || rows[0].State != ledger.StateDeleting {
		t.Fatalf("%+v, %v", rows, err)
	}
	w.depot.hook(nil, nil)
	if e := told.one(t, "removed"); e.Kind != replicator.EventDeleted || e.Actor != "somebody" || e.Copy.State != ledger.StateDeleted {
		t.Errorf("%+v", e)
	}
	if n := told.count(); n != 4 {
		t.Errorf("%d events: %+v", n, told.all)
	}
}

// hesitant is a ledger whose lists take a moment, so that others can change the
// listed rows meanwhile.
type hesitant struct{ ledger.Store }

func (h hesitant) Copies(ctx context.Context, d cas.Digest) ([]ledger.Copy, error) {
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
	return h.Store.Copies(ctx, d)
}

// A delete of several copies has one end, also where the last of them go at the same
// moment.
func TestTheEndOfADeleteIsToldOnce(t *testing.T) {
	t.Parallel()
	w, told := newWorld(t), &events{}
	w.ledger = hesitant{w.ledger}
	r := w.replicator(t, func(o *replicator.Options) { o.OnEvent = told.take })
	run(t, r)
	q := asks(w, t, "delete")
	names := []string{"x.txt", "x.pdf"}
	for _, q.Name = range names {
		ensure(t, r, q)
	}
	q.Name = ""
	w.depot.hook(func(_ context.Context, op providers.Op, _ string) error {
		if op == providers.OpDelete {
			return fail(op, providers.KindTransient, "later", nil)
		}
		return nil
	}, nil)
	if rows, err := r.Remove(t.Context(), q); err != nil || len(rows) != len(names) || rows[0].State != ledger.StateDeleting {
		t.Fatalf("%+v, %v", rows, err)
	}
	var meet sync.WaitGroup
	meet.Add(len(names))
	w.depot.hook(func(_ context.Context, op providers.Op, _ string) error {
		if op == providers.OpDelete {
			meet.Done()
			meet.Wait()
		}
		return nil
	}, nil)
	told.one(t, q.OperationID)
	r.Close() // nothing goes on after this
	if n := told.count(); n != 1 {
		t.Errorf("the end of a delete was told %d times", n)
	}
}

// If one gateway begins an operation and another ends it, the second one reports the
// event.
func TestWorkOfAGatewayThatDiedIsTold(t *testing.T) {
	t.Parallel()
	w, told := newWorld(t), &events{}
	r := w.replicator(t, nil) // its queue doesn't run
	if _, err := r.Begin(t.Context(), asks(w, t, "begun")); err != nil {
		t.Fatal(err)
	}
	r.Close()
	run(t, w.replicator(t, func(o *replicator.Options) { o.OnEvent = told.take }))
	if e := told.one(t, "begun"); e.Actor != "" || e.Start.IsZero() || e.Err != nil {
		t.Errorf("%+v", e)
	}
}

func TestEvictionIsToldAsAnOperationOfItsOwn(t *testing.T) {
	t.Parallel()
	w, told := newWorld(t), &events{}
	w.depot.description.MaxFiles = 1
	r := w.replicator(t, func(o *replicator.Options) { o.OnEvent = told.take })
	first := ensure(t, r, asks(w, t, "first"))
	ensure(t, r, asks(w, t, "second"))
	if n := told.count(); n != 1 {
		t.Fatalf("%d events: %+v", n, told.all)
	}
	if e := told.all[0]; e.Kind != replicator.EventEvicted || e.Copy.Key != first.Key || e.OperationID == "" || e.OperationID == "first" || e.OperationID == "second" || e.Err != nil {
		t.Errorf("%+v", e)
	}
}

// The copy that a text needs is an operation beside the one that reads the text.
func TestCopyForATextIsTold(t *testing.T) {
	t.Parallel()
	w, told := newWorld(t), &events{}
	r := w.replicator(t, func(o *replicator.Options) { o.OnEvent = told.take })
	for range 2 {
		if _, err := r.Text(t.Context(), asks(w, t, "text")); err != nil {
			t.Fatal(err)
		}
	}
	if e := told.one(t, "text.depot"); e.Actor != "somebody" || e.Kind != replicator.EventSynced {
		t.Errorf("%+v", e)
	}
	if n := told.count(); n != 1 {
		t.Errorf("%d events: %+v", n, told.all)
	}
}

// The work may end just as the caller leaves. The caller then gets the result, or
// gets an error that the work goes on and the event follows.
func TestEndAndLeavingAtOnce(t *testing.T) {
	t.Parallel()
	w, told := newWorld(t), &events{}
	r := w.replicator(t, func(o *replicator.Options) { o.OnEvent = told.take })
	run(t, r)
	left, rounds := 0, castest.Thorough(200, 40)
	for i := range rounds {
		operation := fmt.Sprint("operation ", i)
		q := asks(w, t, operation)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(6000))*time.Microsecond)
		_, _, err := r.Ensure(ctx, q)
		cancel()
		_, goesOn := errors.AsType[replicator.Detached](err)
		switch {
		case err == nil:
			eventually(t, "the copy is ready", func() bool {
				c, err := r.Copy(t.Context(), q)
				return err == nil && c.State == ledger.StateReady
			})
			if some := told.of(operation); len(some) != 0 {
				t.Fatalf("the caller had the outcome, and it was told: %+v", some)
			}
		case goesOn:
			left++
			if e := told.one(t, operation); e.Actor != "somebody" {
				t.Fatalf("%+v", e)
			}
		default: // it left before there was anything to go on
			if some := told.of(operation); len(some) > 1 {
				t.Fatalf("%+v", some)
			}
		}
	}
	t.Logf("%d of %d left their work", left, rounds)
}
