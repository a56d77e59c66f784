package blobapi

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
)

func TestCursorRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := cas.Cursor{CreatedAt: time.UnixMicro(rapid.Int64Range(1, 1e16).Draw(t, "µs")).UTC(), Digest: cas.DigestOf(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))}
		got, err := parseCursor(formatCursor(b))
		if err != nil || !got.CreatedAt.Equal(b.CreatedAt) || got.Digest != b.Digest {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func FuzzParseCursor(f *testing.F) {
	f.Add(formatCursor(cas.Cursor{CreatedAt: time.UnixMicro(1)}))
	f.Fuzz(func(t *testing.T, text string) {
		cursor, err := parseCursor(text)
		if err != nil && cursor != (cas.Cursor{}) {
			t.Fatalf("%q: %+v with %v", text, cursor, err)
		}
	})
}
