// Package castest has test support for object stores and for code on top of them: the
// conformance kit that every cas.ObjectStore must pass, a wrapper that injects faults,
// and access to real services.
package castest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"casgate/cas"
)

// RunObjectStore checks that the stores of newStore keep the contract of
// cas.ObjectStore. Each call of newStore returns an empty store, or a store whose
// objects can't collide with the kit's random objects.
func RunObjectStore(t *testing.T, newStore func(t *testing.T) cas.ObjectStore) {
	tests := []struct {
		name string
		run  func(t *testing.T, s cas.ObjectStore)
	}{
		{"RoundTripOfEverySize", testRoundTrip},
		{"MissingObject", testMissing},
		{"Ranges", testRanges},
		{"RangeBeyondTheEnd", testRangeBeyond},
		{"WrongBytesLeaveNothing", testWrongBytes},
		{"ShortBodyLeavesNothing", testShortBody},
		{"LongBodyLeavesNothing", testLongBody},
		{"FailingBodyLeavesNothing", testFailingBody},
		{"FailingBodyKeepsWhatWasThere", testFailingOverwrite},
		{"OverwriteIsWhole", testOverwrite},
		{"CancelledPutLeavesNothing", testCancelledPut},
		{"CancelledOpen", testCancelledOpen},
		{"GenerationsAreApart", testGenerations},
		{"DeleteIsIdempotent", testDelete},
		{"ParallelPutsOfOneObject", testParallelSame},
		{"ParallelPutsOfMany", testParallelMany},
		{"OpenBodySurvivesDelete", testReadDuringDelete},
		{"Stat", testStat},
		{"Versions", testVersions},
		{"Check", testCheck},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, newStore(t))
		})
	}
}

// RandomBytes returns n new random bytes. They don't begin as a known type of file does:
// by chance some would, and a test of media types would fail.
func RandomBytes(n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	rand.NewChaCha8(seed).Read(b)
	if n > 1 {
		b[0] = 1
	}
	return b
}

func refOf(b []byte) cas.ObjectRef { return cas.ObjectRef{Digest: cas.DigestOf(b)} }

func put(s cas.ObjectStore, ref cas.ObjectRef, src io.Reader, size int) error {
	return s.Put(context.Background(), ref, cas.NewVerifyingReader(src, ref.Digest, int64(size)))
}

func mustPut(t *testing.T, s cas.ObjectStore, b []byte) cas.ObjectRef {
	t.Helper()
	ref := refOf(b)
	if err := put(s, ref, bytes.NewReader(b), len(b)); err != nil {
		t.Fatalf("Put of %d bytes: %v", len(b), err)
	}
	return ref
}

func readAll(s cas.ObjectStore, ref cas.ObjectRef, offset, length int64) ([]byte, int64, error) {
	o, err := s.Open(context.Background(), ref, offset, length)
	if err != nil {
		return nil, 0, err
	}
	defer o.Body.Close()
	b, err := io.ReadAll(o.Body)
	return b, o.Size, err
}

func wantObject(t *testing.T, s cas.ObjectStore, ref cas.ObjectRef, want []byte) {
	t.Helper()
	got, size, err := readAll(s, ref, 0, -1)
	if err != nil {
		t.Fatalf("reading %s: %v", ref.Key(), err)
	}
	if !bytes.Equal(got, want) || size != int64(len(want)) {
		t.Fatalf("%s: got %d bytes (size %d), equal: %t; want %d bytes", ref.Key(), len(got), size, bytes.Equal(got, want), len(want))
	}
}

func wantMissing(t *testing.T, s cas.ObjectStore, ref cas.ObjectRef) {
	t.Helper()
	if _, _, err := readAll(s, ref, 0, -1); !errors.Is(err, cas.ErrObjectMissing) {
		t.Fatalf("reading %s: got %v, want ErrObjectMissing", ref.Key(), err)
	}
}

func testRoundTrip(t *testing.T, s cas.ObjectStore) {
	for _, n := range []int{0, 1, 2, 4095, 4096, 64<<10 + 1, 1 << 20, 5<<20 + 3, 17 << 20} {
		b := RandomBytes(n)
		wantObject(t, s, mustPut(t, s, b), b)
	}
	// The same from a source that can't be rewound.
	b := RandomBytes(3 << 20)
	if err := put(s, refOf(b), io.MultiReader(bytes.NewReader(b)), len(b)); err != nil {
		t.Fatal(err)
	}
	wantObject(t, s, refOf(b), b)
}

func testMissing(t *testing.T, s cas.ObjectStore) {
	wantMissing(t, s, refOf(RandomBytes(10)))
	_, err := s.Open(t.Context(), refOf(RandomBytes(10)), 5, 5)
	if !errors.Is(err, cas.ErrObjectMissing) {
		t.Fatalf("a range of a missing object: got %v, want ErrObjectMissing from Open itself", err)
	}
}

func testRanges(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(300_000)
	ref := mustPut(t, s, b)
	for _, r := range []struct{ offset, length int64 }{
		{0, 1}, {0, 300_000}, {0, 299_999}, {1, 1}, {1, -1}, {299_999, 1}, {299_999, -1}, {150_000, 70_000}, {299_990, 1000},
	} {
		got, size, err := readAll(s, ref, r.offset, r.length)
		if err != nil {
			t.Fatalf("range %+v: %v", r, err)
		}
		end := int64(len(b))
		if r.length >= 0 {
			end = min(end, r.offset+r.length)
		}
		if !bytes.Equal(got, b[r.offset:end]) || size != int64(len(b)) {
			t.Fatalf("range %+v: got %d bytes, size %d", r, len(got), size)
		}
	}
}

func testRangeBeyond(t *testing.T, s cas.ObjectStore) {
	ref := mustPut(t, s, RandomBytes(100))
	for _, offset := range []int64{100, 101, 1 << 40} {
		if _, _, err := readAll(s, ref, offset, -1); !errors.Is(err, cas.ErrRangeNotSatisfiable) {
			t.Fatalf("offset %d: got %v, want ErrRangeNotSatisfiable", offset, err)
		}
	}
}

func testWrongBytes(t *testing.T, s cas.ObjectStore) {
	for _, n := range []int{1, 1000, 6 << 20} {
		b := RandomBytes(n)
		ref := refOf(b)
		b[n-1] ^= 1
		if err := put(s, ref, bytes.NewReader(b), n); !errors.Is(err, cas.ErrDigestMismatch) {
			t.Fatalf("%d bytes: got %v, want ErrDigestMismatch", n, err)
		}
		wantMissing(t, s, ref)
	}
}

func testShortBody(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(200_000)
	ref := refOf(b)
	if err := put(s, ref, bytes.NewReader(b[:len(b)-1]), len(b)); !errors.Is(err, cas.ErrDigestMismatch) {
		t.Fatalf("got %v, want ErrDigestMismatch", err)
	}
	wantMissing(t, s, ref)
}

func testLongBody(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(200_000)
	ref := refOf(b)
	if err := put(s, ref, bytes.NewReader(append(b, 0)), len(b)); !errors.Is(err, cas.ErrDigestMismatch) {
		t.Fatalf("got %v, want ErrDigestMismatch", err)
	}
	wantMissing(t, s, ref)
}

var errSource = errors.New("the source broke off")

// broken yields b and then fails.
func broken(b []byte) io.Reader {
	return io.MultiReader(bytes.NewReader(b), failing{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errSource }

func testFailingBody(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(3 << 20)
	for _, n := range []int{0, 1, 1 << 20, len(b) - 1} {
		if err := put(s, refOf(b), broken(b[:n]), len(b)); !errors.Is(err, errSource) {
			t.Fatalf("after %d bytes: got %v, want the source's own error", n, err)
		}
		wantMissing(t, s, refOf(b))
	}
}

func testFailingOverwrite(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(2 << 20)
	ref := mustPut(t, s, b)
	if err := put(s, ref, broken(b[:1<<20]), len(b)); !errors.Is(err, errSource) {
		t.Fatalf("got %v, want the source's own error", err)
	}
	wantObject(t, s, ref, b)
}

func testOverwrite(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(100_000)
	mustPut(t, s, b)
	wantObject(t, s, mustPut(t, s, b), b)
}

func testCancelledPut(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(4 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	// The source cancels its own upload halfway, and then continues. It fails before its end: a
	// store that gets all bytes may keep them, since the cancellation can come too late.
	src := io.MultiReader(
		bytes.NewReader(b[:2<<20]), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }), bytes.NewReader(b[2<<20:3<<20]),
		readerFunc(func([]byte) (int, error) { return 0, errSource }),
	)
	ref := refOf(b)
	err := s.Put(ctx, ref, cas.NewVerifyingReader(src, ref.Digest, int64(len(b))))
	if !errors.Is(err, context.Canceled) && !errors.Is(err, errSource) {
		t.Fatalf("got %v, want context.Canceled, or the source's error if that came first", err)
	}
	wantMissing(t, s, ref)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testCancelledOpen(t *testing.T, s cas.ObjectStore) {
	ref := mustPut(t, s, RandomBytes(100))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o, err := s.Open(ctx, ref, 0, -1); err == nil {
		o.Body.Close()
		t.Fatal("Open with a cancelled context succeeded")
	}
}

func testGenerations(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(1000)
	first := mustPut(t, s, b)
	second := cas.ObjectRef{Digest: first.Digest, Generation: 1}
	wantMissing(t, s, second)
	if err := put(s, second, bytes.NewReader(b), len(b)); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	wantMissing(t, s, first)
	wantObject(t, s, second, b)
}

func testDelete(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(1000)
	ref := mustPut(t, s, b)
	for range 2 {
		if err := s.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		wantMissing(t, s, ref)
	}
	wantObject(t, s, mustPut(t, s, b), b)
}

// testParallelSame has many writers of one object. Half of them fail, and must not
// damage the object of the others.
func testParallelSame(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(1 << 20)
	ref := refOf(b)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if i%2 == 0 {
				if err := put(s, ref, bytes.NewReader(b), len(b)); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			} else if err := put(s, ref, broken(b[:i*1000]), len(b)); !errors.Is(err, errSource) {
				t.Errorf("failing writer %d: got %v", i, err)
			}
		})
	}
	wg.Wait()
	wantObject(t, s, ref, b)
}

func testParallelMany(t *testing.T, s cas.ObjectStore) {
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			b := RandomBytes(i * 3001)
			ref := refOf(b)
			if err := put(s, ref, bytes.NewReader(b), len(b)); err != nil {
				t.Errorf("put %d: %v", i, err)
				return
			}
			got, _, err := readAll(s, ref, 0, -1)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("read %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
}

// testReadDuringDelete: a reader gets all the right bytes, or an error. It never gets
// io.EOF after wrong bytes.
func testReadDuringDelete(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(8 << 20)
	ref := mustPut(t, s, b)
	o, err := s.Open(t.Context(), ref, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(o.Body, head); err != nil {
		t.Fatal(err)
	}
	deleted := make(chan error, 1)
	go func() { deleted <- s.Delete(context.Background(), ref) }()
	rest, err := io.ReadAll(o.Body)
	if err == nil && !bytes.Equal(append(head, rest...), b) {
		t.Fatal("the read ended without an error after wrong bytes")
	}
	o.Body.Close()
	if err := <-deleted; err != nil {
		t.Logf("a delete beside a slow read: %v (allowed: it is repeated)", err)
	}
}

// testVersions: a version is the same at each read, whole or in part, until the next
// write.
func testVersions(t *testing.T, s cas.ObjectStore) {
	b := RandomBytes(1000)
	ref := mustPut(t, s, b)
	version := func(offset, length int64) string {
		o, err := s.Open(t.Context(), ref, offset, length)
		if err != nil {
			t.Fatal(err)
		}
		o.Body.Close()
		return o.Version
	}
	first := version(0, -1)
	if first == "" {
		t.Fatal("the object has no version")
	}
	for range 2 {
		if whole, part := version(0, -1), version(10, 20); whole != first || part != first {
			t.Errorf("versions %q and %q of one write, want %q", whole, part, first)
		}
	}
	other := mustPut(t, s, RandomBytes(1000))
	o, err := s.Open(t.Context(), other, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	o.Body.Close()
	if o.Version == first {
		t.Errorf("two objects have version %q", first)
	}
}

func testStat(t *testing.T, s cas.ObjectStore) {
	for _, n := range []int{0, 1000, 2 << 20} {
		b := RandomBytes(n)
		ref := refOf(b)
		if _, err := s.Stat(t.Context(), ref); n > 0 && !errors.Is(err, cas.ErrObjectMissing) {
			t.Errorf("before the put: %v", err)
		}
		mustPut(t, s, b)
		info, err := s.Stat(t.Context(), ref)
		if err != nil || info.Size != int64(n) || !info.Digest.IsZero() && info.Digest != ref.Digest {
			t.Errorf("%d bytes: size %d, digest %s, error %v", n, info.Size, info.Digest, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Stat(ctx, mustPut(t, s, RandomBytes(10))); err == nil || errors.Is(err, cas.ErrObjectMissing) {
		t.Errorf("with a cancelled context: %v", err)
	}
}

func testCheck(t *testing.T, s cas.ObjectStore) {
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Check(ctx); err == nil {
		t.Fatal("Check with a cancelled context succeeded")
	}
}

// BenchmarkPut measures Put of new objects of several sizes.
func BenchmarkPut(b *testing.B, s cas.ObjectStore) {
	for _, size := range []int{4 << 10, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			data := RandomBytes(size)
			for i := 0; b.Loop(); i++ {
				data[0], data[1], data[2], data[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
				b.StopTimer()
				ref := refOf(data)
				b.StartTimer()
				if err := put(s, ref, bytes.NewReader(data), size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
