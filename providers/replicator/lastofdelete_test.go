package replicator_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// slowEnds is a ledger that waits before it ends a delete or an eviction.
type slowEnds struct {
	ledger.Store
	wait func(ctx context.Context, k ledger.Key) error
}

func (l slowEnds) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	if t.Verb == ledger.FinishDelete(ledger.Key{}, 0, ledger.StateDeleted, 0).Verb {
		if err := l.wait(ctx, t.Key); err != nil {
			return ledger.Copy{}, false, fmt.Errorf("%w: %w", cas.ErrIndexUnavailable, err)
		}
	}
	return l.Store.Change(ctx, t)
}

// The copies of a blob end their deletes one after the other. Each has the whole of the time
// for its own end.
func TestSlowEndsOfADelete(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, _ *replicator.Replicator) {
		r := w.replicator(t, func(o *replicator.Options) {
			o.PollInterval, o.Lease = time.Hour, time.Hour
			o.Ledger = slowEnds{w.ledger, func(ctx context.Context, _ ledger.Key) error {
				select {
				case <-time.After(8 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}
		})
		q := want(w.put(t, "some text", "a.txt"))
		ensure(t, r, q)
		named := q
		named.Name = "a.pdf"
		ensure(t, r, named)
		time.Sleep(settling)
		for _, c := range removeAll(t, r, w, q) {
			if c.State != ledger.StateDeleted {
				t.Errorf("%s is %s", c.Key, c.State)
			}
		}
	})
}

// A slow end of the delete of one blob's copy doesn't hold up those of other blobs.
func TestEndsOfDeletesOfOtherBlobs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, _ *replicator.Replicator) {
		g, slow := newGate(), cas.DigestOf([]byte("slow"))
		r := w.replicator(t, func(o *replicator.Options) {
			o.PollInterval = time.Hour
			o.Ledger = slowEnds{w.ledger, func(ctx context.Context, k ledger.Key) error {
				if k.Digest == slow {
					return g.pass(ctx)
				}
				return nil
			}}
		})
		first, second := want(w.put(t, "slow", "a.txt")), want(w.put(t, "quick", "a.txt"))
		ensure(t, r, first)
		ensure(t, r, second)
		time.Sleep(settling)
		ended := make(chan error, 1)
		go func() {
			_, err := r.Remove(t.Context(), first)
			ended <- err
		}()
		<-g.reached
		rows, err := r.Remove(t.Context(), second)
		if err != nil || rows[0].State != ledger.StateDeleted {
			t.Errorf("the other delete returned %+v, error %v", rows, err)
		}
		synctest.Wait()
		if len(ended) > 0 {
			t.Error("the slow delete has ended before its row")
		}
		g.open()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
