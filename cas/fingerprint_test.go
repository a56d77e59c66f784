package cas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// The fingerprint depends on all bytes and their number, and not on how they arrive.
func TestFingerprintReader(t *testing.T) {
	for _, size := range []int{0, 1, 240, 1024, 1088, 5000} { // XXH3 has a way of its own for each
		content := bytes.Repeat([]byte("abc"), size)[:size]
		want := DigestOf(content)
		known := newFingerprintHash()
		known.Write(content)
		read := func(src io.Reader) ([]byte, error) {
			return io.ReadAll(newFingerprintReader(src, want, int64(size), known.sum()))
		}
		for name, src := range map[string]io.Reader{
			"whole":       bytes.NewReader(content),
			"single":      iotest.OneByteReader(bytes.NewReader(content)),
			"end at once": iotest.DataErrReader(bytes.NewReader(content)),
		} {
			if got, err := read(src); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %s: %d bytes, %v", size, name, len(got), err)
			}
		}
		wantRefused := func(name string, b []byte) {
			if got, err := read(bytes.NewReader(b)); !errors.Is(err, ErrDigestMismatch) || size > 0 && len(got) >= size {
				t.Errorf("%d bytes, %s: %d bytes, %v", size, name, len(got), err)
			}
		}
		wantRefused("longer", append(slices.Clone(content), 0))
		for i := 0; i < size; i += 1 + size/100 {
			flipped := slices.Clone(content)
			flipped[i] ^= 1
			wantRefused(fmt.Sprintf("flipped at %d", i), flipped)
			wantRefused(fmt.Sprintf("cut at %d", i), content[:i])
		}
	}
}
