package scrubber_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store/s3test"
	"casgate/cas/scrubber"
)

func flip(at func(n int) int) func([]byte) []byte {
	return func(b []byte) []byte { b = slices.Clone(b); b[at(len(b))] ^= 1; return b }
}

func middle(n int) int { return n / 2 }

// wantDamage fails the test unless scrubs and verify find the damage of one object, and
// it is never delivered whole, and both ways of repair heal it. Damage damages it again.
func (w *world) wantDamage(t *testing.T, content []byte, damage func()) {
	w.t = t
	ref := cas.ObjectRef{Digest: cas.DigestOf(content)}
	w.wantBlob(content)
	for name, heal := range map[string]func(){
		"repair": func() {
			run := w.scrub(func(o *scrubber.Options) { o.Sources = []scrubber.Source{liar{}, backup(t, content)} })
			if run.Damaged != 1 || run.Repaired != 1 {
				t.Errorf("the scrub with repair: %+v", run)
			}
		},
		"upload": func() { w.put(content) },
		"verify": func() {
			s := w.scrubber(func(o *scrubber.Options) { o.Sources = []scrubber.Source{backup(t, content)} })
			if r, err := s.Verify(t.Context(), ref.Digest); err != nil || r.Outcome != scrubber.OutcomeRepaired || !strings.HasPrefix(r.Source, "file://") {
				t.Errorf("verify with repair: %+v, error %v", r, err)
			}
		},
	} {
		damage()
		if name == "verify" {
			if r, err := w.scrubber(nil).Verify(t.Context(), ref.Digest); err != nil || r.Outcome != scrubber.OutcomeDamaged || r.Err == nil {
				t.Errorf("%s: verify found %+v, error %v", name, r, err)
			}
		} else if run := w.scrub(nil); run.Damaged != 1 || run.Repaired != 0 {
			t.Errorf("%s: the scrub %+v; want one damaged object", name, run)
		}
		w.wantState(ref, cas.StateSuspect)
		if got, err := w.read(ref.Digest); err == nil || bytes.Equal(got, content) || len(got) == len(content) {
			t.Errorf("%s: %d bytes were delivered, error %v", name, len(got), err)
		}
		heal()
		w.wantBlob(content)
	}
	if run := w.scrub(nil); run.Damaged != 0 {
		t.Errorf("after the repairs the scrub finds %+v", run)
	}
}

func TestScrubFindsAndRepairsDamage(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		w.putSome(3)
		content, other := castest.RandomBytes(300<<10), castest.RandomBytes(300<<10)
		ref := w.put(content)
		w.put(other)
		replace := func(ref cas.ObjectRef, b []byte) func() { return func() { w.replace(t, ref, b) } }
		for _, c := range []struct {
			name   string
			damage []byte
		}{
			{"flipped", flip(middle)(content)},
			{"last byte", flip(func(n int) int { return n - 1 })(content)},
			{"truncated", content[:len(content)-1]},
			{"longer", append(slices.Clone(content), 'x')},
			{"emptied", []byte{}},
			{"another blob's", other},
		} {
			t.Run(c.name, func(t *testing.T) { w.wantDamage(t, content, replace(ref, c.damage)) })
		}
		t.Run("gone", func(t *testing.T) { w.wantDamage(t, content, replace(ref, nil)) })
	})
}

// Two objects are swapped: both are damaged, and both can be repaired.
func TestScrubFindsSwappedObjects(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		a, b := castest.RandomBytes(5000), castest.RandomBytes(5000)
		refA, refB := w.put(a), w.put(b)
		w.replace(t, refA, b)
		w.replace(t, refB, a)
		run, err := w.scrubber(nil).Scrub(t.Context(), scrubber.Plan{})
		if err != nil || run.Damaged != 2 {
			t.Fatalf("the scrub %+v, error %v", run, err)
		}
		w.wantState(refA, cas.StateSuspect)
		w.wantState(refB, cas.StateSuspect)
		if run := w.scrub(func(o *scrubber.Options) { o.Sources = []scrubber.Source{backup(t, a)} }); run.Repaired != 1 || run.Damaged != 2 {
			t.Errorf("the repair: %+v", run)
		}
		w.wantBlob(a)
		w.put(b)
		w.wantBlob(b)
	})
}

// A byte rots on MinIO's own disk: the store finds it itself, at the read. Its client
// repeats each read that fails, which takes seconds.
func TestScrubFindsRotOnTheDiskOfMinIO(t *testing.T) {
	t.Parallel()
	server := s3test.NewServer(t)
	w := served(t, server.Options)
	w.putSome(1)
	sizes := []int{1000, 300 << 10}
	for _, size := range sizes[:castest.Thorough(len(sizes), 1)] {
		content := castest.RandomBytes(size)
		ref := w.put(content)
		rot := func() { server.Damage(t, ref, flip(func(n int) int { return n - 100 })) }
		rot()
		if run := w.scrub(nil); run.Damaged != 1 {
			t.Errorf("the scrub %+v", run)
		}
		w.wantState(ref, cas.StateSuspect)
		w.put(content)
		w.wantBlob(content)
		rot()
		s := w.scrubber(func(o *scrubber.Options) { o.Sources = []scrubber.Source{backup(t, content)} })
		if r, err := s.Verify(t.Context(), ref.Digest); err != nil || r.Outcome != scrubber.OutcomeRepaired {
			t.Errorf("verify with repair: %+v, error %v", r, err)
		}
		w.wantBlob(content)
	}
}

// Sources with wrong bytes change nothing.
func TestRepairRefusesWrongBytes(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		content := castest.RandomBytes(200 << 10)
		ref := w.put(content)
		damaged := flip(middle)(content)
		w.replace(t, ref, damaged)
		run := w.scrub(func(o *scrubber.Options) { o.Sources = []scrubber.Source{liar{}, backup(t)} })
		if run.Damaged != 1 || run.Repaired != 0 {
			t.Errorf("the scrub %+v", run)
		}
		w.wantState(ref, cas.StateSuspect)
		object, err := w.objects.Open(t.Context(), ref, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer object.Body.Close()
		var now bytes.Buffer
		if _, err := now.ReadFrom(object.Body); err != nil || !bytes.Equal(now.Bytes(), damaged) {
			t.Errorf("the object was changed; error %v", err)
		}
		r := w.found[len(w.found)-1]
		if r.RepairErr == nil || !errors.Is(r.RepairErr, cas.ErrDigestMismatch) || !errors.Is(r.Err, cas.ErrObjectCorrupt) {
			t.Errorf("the result: %+v", r)
		}
	})
}

// A quick scrub downloads nothing that looks right. It finds what differs in size or, in
// a bucket, in its checksum.
func TestQuickScrub(t *testing.T) {
	setups(t, func(t *testing.T, w *world) {
		all := w.putSome(9)
		gone, short, swapped := cas.DigestOf(all[0]), cas.DigestOf(all[1]), cas.DigestOf(all[2])
		w.replace(t, cas.ObjectRef{Digest: gone}, nil)
		w.replace(t, cas.ObjectRef{Digest: short}, all[1][:999])
		w.replace(t, cas.ObjectRef{Digest: swapped}, all[3])
		opened := map[cas.Digest]int{}
		w.objects.SetHook(func(op castest.Op, ref cas.ObjectRef) castest.Fault {
			if op == castest.OpOpen {
				w.mu.Lock()
				opened[ref.Digest]++
				w.mu.Unlock()
			}
			return castest.Fault{}
		})
		run, err := w.scrubber(nil).Scrub(t.Context(), scrubber.Plan{Quick: true})
		w.objects.SetHook(nil)
		want := []cas.Digest{gone, short}
		if w.rot == nil {
			want = append(want, swapped) // a bucket keeps checksums
		}
		if err != nil || run.Damaged != int64(len(want)) || run.Blobs != 9 || !run.Complete {
			t.Errorf("the quick scrub %+v, error %v", run, err)
		}
		for _, d := range want {
			w.wantState(cas.ObjectRef{Digest: d}, cas.StateSuspect)
			delete(opened, d)
		}
		if len(opened) > 0 {
			t.Errorf("%d objects were read that look right", len(opened))
		}
		// The next one finds that a suspect blob's object is right again.
		w.replaceMissing(gone, all[0])
		if run, err := w.scrubber(nil).Scrub(t.Context(), scrubber.Plan{Quick: true}); err != nil || run.Healed != 1 {
			t.Errorf("the quick scrub %+v, error %v", run, err)
		}
		w.wantBlob(all[0])
	})
}

// replaceMissing writes an object without the index.
func (w *world) replaceMissing(d cas.Digest, b []byte) {
	w.t.Helper()
	if err := w.objects.Put(w.t.Context(), cas.ObjectRef{Digest: d}, cas.NewVerifyingReader(bytes.NewReader(b), d, int64(len(b)))); err != nil {
		w.t.Fatal(err)
	}
}
