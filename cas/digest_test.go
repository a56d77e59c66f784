package cas_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"casgate/cas"
)

const emptyDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestDigestTextForm(t *testing.T) {
	d := cas.DigestOf(nil)
	if d.String() != emptyDigest {
		t.Errorf("String() = %s, want the well-known digest of nothing", d)
	}
	if want := strings.TrimPrefix(emptyDigest, "sha256:"); d.Hex() != want || d.Short() != want[:12] {
		t.Errorf("Hex() = %s, Short() = %s", d.Hex(), d.Short())
	}
}

func TestParseDigestRefuses(t *testing.T) {
	hex := strings.TrimPrefix(emptyDigest, "sha256:")
	for name, text := range map[string]string{
		"empty":            "",
		"bare hash":        hex,
		"short":            emptyDigest[:len(emptyDigest)-1],
		"long":             emptyDigest + "0",
		"upper-case hex":   "sha256:" + strings.ToUpper(hex),
		"upper-case name":  "SHA256:" + hex,
		"other algorithm":  "sha512:" + hex,
		"no algorithm":     ":" + hex,
		"not hex":          "sha256:" + strings.Repeat("g", 64),
		"unicode digits":   "sha256:" + strings.Repeat("٣", 32),
		"space in front":   " " + emptyDigest,
		"newline behind":   emptyDigest + "\n",
		"percent-encoding": "sha256%3A" + hex,
		"NUL":              "sha256:" + strings.Repeat("\x00", 64),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := cas.ParseDigest(text)
			if !errors.Is(err, cas.ErrInvalidDigest) || !d.IsZero() {
				t.Fatalf("ParseDigest(%q) = %v, %v", text, d, err)
			}
		})
	}
}

func TestDigestsFrom(t *testing.T) {
	hex := strings.TrimPrefix(emptyDigest, "sha256:")
	for _, digits := range []string{"", hex[:8], hex[:9], hex} {
		first, last, err := cas.DigestsFrom(digits)
		if rest := 64 - len(digits); err != nil || first.Hex() != digits+strings.Repeat("0", rest) || last.Hex() != digits+strings.Repeat("f", rest) {
			t.Errorf("%q: %v, %v, %v", digits, first, last, err)
		}
	}
	for _, digits := range []string{hex + "0", "E3B0C442", "sha256:e", "g"} {
		if _, _, err := cas.DigestsFrom(digits); !errors.Is(err, cas.ErrInvalidDigest) {
			t.Errorf("%q: %v", digits, err)
		}
	}
}

func TestDigestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var d cas.Digest
		copy(d[:], rapid.SliceOfN(rapid.Byte(), len(d), len(d)).Draw(t, "digest"))
		if got, err := cas.ParseDigest(d.String()); err != nil || got != d {
			t.Fatalf("text: %v, %v", got, err)
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var fromJSON cas.Digest
		if err := json.Unmarshal(b, &fromJSON); err != nil || fromJSON != d {
			t.Fatalf("JSON: %v, %v", fromJSON, err)
		}
		value, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		var fromSQL cas.Digest
		if err := fromSQL.Scan(value); err != nil || fromSQL != d {
			t.Fatalf("SQL: %v, %v", fromSQL, err)
		}
		ref := cas.ObjectRef{Digest: d, Generation: rapid.Int32Range(0, 1<<31-1).Draw(t, "generation")}
		if got, err := cas.ParseKey(ref.Key()); err != nil || got != ref {
			t.Fatalf("key: %v, %v", got, err)
		}
	})
}

func TestScanRefuses(t *testing.T) {
	var d cas.Digest
	for _, src := range []any{nil, "text", []byte{1, 2, 3}, make([]byte, 33), 7} {
		if err := d.Scan(src); err == nil {
			t.Errorf("Scan(%v) succeeded", src)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	good := cas.ObjectRef{Digest: cas.DigestOf(nil)}.Key()
	for _, key := range []string{"", "sha256", good + ".0", good + ".-1", good + ".01", good + ".x", "/" + good, "x" + good, strings.ToUpper(good), "sha256/aa/bb/" + good[13:], good + ".99999999999"} {
		if ref, err := cas.ParseKey(key); err == nil {
			t.Errorf("ParseKey(%q) = %v", key, ref)
		}
	}
}

func FuzzParseDigest(f *testing.F) {
	f.Add(emptyDigest)
	f.Add(strings.ToUpper(emptyDigest))
	f.Add("sha256:")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := cas.ParseDigest(text)
		if err == nil && d.String() != text {
			t.Fatalf("%q was taken for %s", text, d)
		}
		if err != nil && !errors.Is(err, cas.ErrInvalidDigest) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
