package cas_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/cas/castest"
)

// Whatever the source and however it is read: the reader ends well with the
// right bytes, or it ends in an error and has kept some of them back.
func TestVerifyingReaderNeverPassesAWrongBlob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "want")
		sent := bytes.Clone(want)
		switch rapid.SampledFrom([]string{"right", "flip", "cut", "add"}).Draw(t, "damage") {
		case "flip":
			if len(sent) > 0 {
				sent[rapid.IntRange(0, len(sent)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
			}
		case "cut":
			sent = sent[:rapid.IntRange(0, len(sent)).Draw(t, "cut")]
		case "add":
			sent = append(sent, rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "more")...)
		}
		src := rapid.SampledFrom([]func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader,
		}).Draw(t, "source")(bytes.NewReader(sent))
		reader := cas.NewVerifyingReader(src, cas.DigestOf(want), int64(len(want)))

		var got []byte
		var err error
		for err == nil {
			p := make([]byte, rapid.IntRange(1, 64).Draw(t, "read"))
			var n int
			n, err = reader.Read(p)
			got = append(got, p[:n]...)
		}
		right := bytes.Equal(sent, want)
		switch {
		case right && (err != io.EOF || !bytes.Equal(got, want)):
			t.Fatalf("right bytes: got %d of %d, %v", len(got), len(want), err)
		case !right && !errors.Is(err, cas.ErrDigestMismatch):
			t.Fatalf("wrong bytes: %v", err)
		case !right && len(want) > 0 && len(got) >= len(want):
			t.Fatalf("wrong bytes: all %d were passed on", len(got))
		}
		if again, n := reader.Read(make([]byte, 1)); again != 0 || n != err {
			t.Fatalf("after the end: %d, %v", again, n)
		}
		if (reader.Err() == nil) != right {
			t.Fatalf("Err() = %v", reader.Err())
		}
	})
}

// A consumer that knows the length, as HTTP clients do, stops there and never
// sees the end: the last bytes must not come before the verdict.
func TestVerifyingReaderJudgesBeforeTheLastByte(t *testing.T) {
	b := castest.RandomBytes(1000)
	digest := cas.DigestOf(b)
	b[0] ^= 1
	n, err := io.ReadFull(cas.NewVerifyingReader(bytes.NewReader(b), digest, 1000), make([]byte, 1000))
	if !errors.Is(err, cas.ErrDigestMismatch) || n == 1000 {
		t.Fatalf("read %d of 1000 wrong bytes, %v", n, err)
	}
}

func TestVerifyingReaderPassesOnTheSourcesError(t *testing.T) {
	b := castest.RandomBytes(1000)
	broken := errors.New("broken")
	for name, src := range map[string]io.Reader{
		"in the middle": io.MultiReader(bytes.NewReader(b[:500]), iotest.ErrReader(broken)),
		"at the end":    io.MultiReader(bytes.NewReader(b), iotest.ErrReader(broken)),
	} {
		t.Run(name, func(t *testing.T) {
			reader := cas.NewVerifyingReader(src, cas.DigestOf(b), 1000)
			n, err := io.Copy(io.Discard, reader)
			if !errors.Is(err, broken) || !errors.Is(reader.Err(), broken) || n >= 1000 {
				t.Fatalf("%d bytes, %v, Err() %v", n, err, reader.Err())
			}
		})
	}
}

func TestVerifyingReaderRewinds(t *testing.T) {
	b := castest.RandomBytes(1000)
	reader := cas.NewVerifyingReader(bytes.NewReader(b), cas.DigestOf(b), 1000)
	if _, err := io.CopyN(io.Discard, reader, 300); err != nil {
		t.Fatal(err)
	}
	if !reader.CanRewind() || !reader.Rewind() {
		t.Fatal("can't rewind a bytes.Reader")
	}
	if got, err := io.ReadAll(reader); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("after rewinding: %d bytes, %v", len(got), err)
	}
	once := cas.NewVerifyingReader(io.MultiReader(bytes.NewReader(b)), cas.DigestOf(b), 1000)
	if once.CanRewind() || once.Rewind() {
		t.Fatal("rewound a source that can't")
	}
}

func BenchmarkVerifyingReader(b *testing.B) {
	data := castest.RandomBytes(1 << 20)
	digest := cas.DigestOf(data)
	buf := make([]byte, 256<<10)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		reader := cas.NewVerifyingReader(bytes.NewReader(data), digest, 1<<20)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, reader, buf); err != nil {
			b.Fatal(err)
		}
	}
}
