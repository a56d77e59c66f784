package request

import (
	"errors"
	"testing"

	"casgate/cas"
)

func TestParseRange(t *testing.T) {
	const size = 1000
	whole := ByteRange{}
	for header, want := range map[string]ByteRange{
		"":                             whole,
		"bytes=0-0":                    {0, 1},
		"bytes=0-":                     {0, 1000},
		"bytes=0-999":                  {0, 1000},
		"bytes=0-1000":                 {0, 1000},
		"bytes=999-":                   {999, 1},
		"bytes=10-19":                  {10, 10},
		"bytes=-1":                     {999, 1},
		"bytes=-1000":                  {0, 1000},
		"bytes=-5000":                  {0, 1000},
		"BYTES=1-2":                    {1, 2},
		"bytes= 1-2":                   {1, 2},
		"bytes=1-99999999999999999999": {1, 999},
		"bytes=0-1,5-6":                whole, // several: the whole is sent
		"items=0-1":                    whole, // another unit: ignored
		"nonsense":                     whole,
	} {
		got, partial, err := ParseRange(header, size)
		if err != nil || got != want || partial != (want != whole) {
			t.Errorf("%q: %+v, %t, %v; want %+v", header, got, partial, err, want)
		}
	}
	for _, header := range []string{"bytes=1000-", "bytes=1000-1001", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=", "bytes=a-b", "bytes=1", "bytes=--1", "bytes=1-2-3", "bytes=99999999999999999999-", "bytes=+1-2", "bytes=1 - 2"} {
		if got, _, err := ParseRange(header, size); !errors.Is(err, cas.ErrRangeNotSatisfiable) {
			t.Errorf("%q: %+v, %v; want an error", header, got, err)
		}
	}
	for _, header := range []string{"bytes=0-", "bytes=-1", "bytes=0-0", "bytes=5-"} {
		if got, partial, err := ParseRange(header, 0); err != nil || partial {
			t.Errorf("%q of an empty blob: %+v, %v", header, got, err)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-1", int64(10))
	f.Add("bytes=-5", int64(3))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		r, partial, err := ParseRange(header, size)
		if err != nil && (partial || !errors.Is(err, cas.ErrRangeNotSatisfiable)) {
			t.Fatalf("%q of %d: %v", header, size, err)
		}
		if partial && (r.Offset < 0 || r.Length < 1 || r.Offset > size-r.Length) {
			t.Fatalf("%q of %d: %+v lies outside", header, size, r)
		}
	})
}
