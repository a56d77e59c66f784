package collector_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/collector"
)

// writeObject stores an object that no row names.
func (w *world) writeObject(b []byte, generation int32) cas.Digest {
	w.t.Helper()
	d := cas.DigestOf(b)
	body := cas.NewVerifyingReader(bytes.NewReader(b), d, int64(len(b)))
	if err := w.objects.Put(w.t.Context(), cas.ObjectRef{Digest: d, Generation: generation}, body); err != nil {
		w.t.Fatal(err)
	}
	return d
}

// sweep sweeps objects of any age, unless it is given one.
func (w *world) sweep(age time.Duration) collector.Swept {
	w.t.Helper()
	return w.sweepWith(collector.SweepOptions{Age: age})
}

// dryRun looks for orphans of any age, and changes nothing.
func (w *world) dryRun() collector.Swept {
	w.t.Helper()
	return w.sweepWith(collector.SweepOptions{Age: atOnce, DryRun: true})
}

func (w *world) sweepWith(o collector.SweepOptions) collector.Swept {
	w.t.Helper()
	o.Lister, o.Index, o.Objects = w.lister, w.index, w.objects
	swept, err := collector.Sweep(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return swept
}

// atOnce is an age that every object has, whatever the clocks of the servers.
const atOnce = -time.Hour

func TestSweepRemovesOrphans(t *testing.T) {
	t.Parallel()
	setups(t, func(t *testing.T, w *world) {
		kept := castest.RandomBytes(1000)
		w.put(kept)
		stale := w.writeObject(kept, 0)
		orphan := w.writeObject(castest.RandomBytes(2000), 0)
		back := castest.RandomBytes(3000)
		w.writeObject(back, 0)
		if swept := w.sweep(time.Hour); swept != (collector.Swept{Young: 3}) {
			t.Errorf("objects that are too young: %+v", swept)
		}
		for range 2 { // since a dry run changes nothing
			if swept := w.dryRun(); swept != (collector.Swept{Objects: 3, Condemned: 2}) {
				t.Errorf("the dry run found %+v", swept)
			}
		}
		if swept := w.sweep(atOnce); swept != (collector.Swept{Objects: 3, Condemned: 2}) {
			t.Errorf("the sweep found %+v", swept)
		}
		w.put(back) // rescues it
		w.collect()
		w.wantObjects(orphan)
		w.wantObjects(w.wantBlob(kept).Digest, 0)
		w.wantObjects(w.wantBlob(back).Digest, 0)

		// An object of an old generation.
		w.remove(stale)
		w.collect()
		w.put(kept)
		w.writeObject(kept, 0)
		if swept := w.dryRun(); swept.Stale != 1 || swept.Condemned != 0 {
			t.Errorf("the dry run found %+v", swept)
		}
		w.wantObjects(w.wantBlob(kept).Digest, 0, 1)
		if swept := w.sweep(atOnce); swept.Stale != 1 || swept.Condemned != 0 {
			t.Errorf("the sweep found %+v", swept)
		}
		w.wantObjects(w.wantBlob(kept).Digest, 1)
	})
}

// A commit that fails leaves an object. A sweep and a collection remove it.
func TestSweepAfterAFailedCommit(t *testing.T) {
	t.Parallel()
	w := embedded(t)
	store, err := cas.NewStore(w.objects, failingCommits{w.index}, cas.Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b := castest.RandomBytes(1000)
	d := cas.DigestOf(b)
	if _, _, err := store.Put(t.Context(), cas.Upload{Body: bytes.NewReader(b), Size: 1000}); !errors.Is(err, cas.ErrIndexUnavailable) {
		t.Fatalf("the upload ended with %v", err)
	}
	w.wantObjects(d, 0)
	w.sweep(atOnce)
	w.collect()
	w.wantObjects(d)
	w.put(b)
	w.wantBlob(b)
}

// failingCommits is an index that refuses commits.
type failingCommits struct{ cas.Index }

func (failingCommits) Commit(context.Context, cas.Blob) (cas.Blob, bool, error) {
	return cas.Blob{}, false, cas.ErrIndexUnavailable
}
