package localtier_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// rows are the blobs that an index has.
type rows map[cas.Digest]cas.Blob

func (r rows) Blob(_ context.Context, d cas.Digest) (cas.Blob, error) {
	b, ok := r[d]
	if !ok {
		return b, cas.ErrBlobNotFound
	}
	return b, nil
}

func (r rows) Suspect(_ context.Context, ref cas.ObjectRef) error {
	b := r[ref.Digest]
	b.State = cas.StateSuspect
	r[ref.Digest] = b
	return nil
}

// suspects tells a test of the objects that the index hears are damaged.
type suspects struct {
	rows
	refs chan cas.ObjectRef
}

func (s suspects) Suspect(_ context.Context, ref cas.ObjectRef) error {
	s.refs <- ref
	return nil
}

// A copy that is made for no reader shows that the object is damaged: the index hears of it.
func TestDamageThatNoReaderSees(t *testing.T) {
	t.Parallel()
	inner := newMemoryStore()
	tier := newTier(t, inner, localtier.Options{Size: roomy})
	right, wrong := castest.RandomBytes(400_000), castest.RandomBytes(400_000)
	ref := refOf(wrong)
	inner.set(refOf(right), right)
	wrong[len(wrong)-1] ^= 1
	inner.set(ref, wrong)
	ctx, stop := context.WithCancel(t.Context())
	index := suspects{rows{}, make(chan cas.ObjectRef, 10)}
	ended := make(chan error, 1)
	go func() { ended <- tier.Run(ctx, index) }()
	for _, ref := range []cas.ObjectRef{refOf(right), ref} {
		o, err := tier.Open(t.Context(), ref, 10, 100)
		if err != nil {
			t.Fatal(err)
		}
		o.Body.Close()
	}
	if got := <-index.refs; got != ref {
		t.Errorf("%v is marked", got)
	}
	published(t, tier, 1)
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s := tier.Stats(); s.Damaged != 0 || s.Fills != 1 || len(index.refs) != 0 {
		t.Errorf("%+v, and %d more are marked", s, len(index.refs))
	}
}

// The copies of deleted blobs, and of other generations, go. Those of live and of suspect blobs stay.
func TestChangedBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
	index := rows{}
	var refs []cas.ObjectRef
	for _, state := range []cas.State{cas.StateLive, cas.StateSuspect, "deleted", "of another generation"} {
		ref := put(t, tier, castest.RandomBytes(1000))
		refs = append(refs, ref)
		switch state {
		case "deleted":
		case "of another generation":
			index[ref.Digest] = cas.Blob{Digest: ref.Digest, Generation: 1, State: cas.StateLive}
		default:
			index[ref.Digest] = cas.Blob{Digest: ref.Digest, State: state}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tier.Run(ctx, index) }()
	for _, ref := range refs {
		tier.Changed(ref.Digest)
	}
	hasCopy := func(ref cas.ObjectRef) bool {
		_, err := os.Stat(filepath.Join(dir, filepath.FromSlash(ref.Key())))
		return err == nil
	}
	castest.Eventually(t, "the copies of deleted blobs are gone", func() bool { return !hasCopy(refs[2]) && !hasCopy(refs[3]) })
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if !hasCopy(refs[0]) || !hasCopy(refs[1]) {
		t.Error("the copy of a visible blob is gone")
	}
	if s := tier.Stats(); s.Bytes != 2000 {
		t.Errorf("%+v", s)
	}
}
