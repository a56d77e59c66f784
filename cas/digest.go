package cas

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"strings"
)

// digestPrefix names the only algorithm casgate stores under.
const digestPrefix = "sha256:"

// digestTextLen is the length of a digest's text form, "sha256:" and 64 hex digits.
const digestTextLen = len(digestPrefix) + 2*sha256.Size

// Digest is the SHA-256 of a blob's bytes. It is a comparable value and may be
// used as a map key. Its text form is "sha256:" followed by 64 lower-case hex
// digits; there is exactly one text form for a digest.
type Digest [sha256.Size]byte

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the text form. For any other text, including upper-case hex and a
// hash without its algorithm, it returns an error that wraps ErrInvalidDigest and
// names the problem.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	rest, ok := strings.CutPrefix(s, digestPrefix)
	switch {
	case !ok && len(s) == 2*sha256.Size && isHex(s):
		return d, fmt.Errorf("%w: %q lacks its algorithm; write %s%s", ErrInvalidDigest, s, digestPrefix, strings.ToLower(s))
	case !ok:
		return d, fmt.Errorf("%w: %q does not begin with %q, the only algorithm there is", ErrInvalidDigest, clip(s), digestPrefix)
	case len(rest) != 2*sha256.Size:
		return d, fmt.Errorf("%w: %q has %d characters after %q, and 64 hex digits are needed", ErrInvalidDigest, clip(s), len(rest), digestPrefix)
	case !isHex(rest):
		return d, fmt.Errorf("%w: %q has characters that are not hex digits", ErrInvalidDigest, clip(s))
	case strings.ToLower(rest) != rest:
		return d, fmt.Errorf("%w: %q has upper-case hex digits; write them in lower case", ErrInvalidDigest, clip(s))
	}
	if _, err := hex.Decode(d[:], []byte(rest)); err != nil {
		return Digest{}, fmt.Errorf("%w: %q: %v", ErrInvalidDigest, clip(s), err)
	}
	return d, nil
}

// isHex reports whether s consists of hex digits of either case.
func isHex(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// clip shortens hostile input before it is quoted in an error.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// String returns the text form, "sha256:<64 lower-case hex>".
func (d Digest) String() string {
	var b [digestTextLen]byte
	copy(b[:], digestPrefix)
	hex.Encode(b[len(digestPrefix):], d[:])
	return string(b[:])
}

// Hex returns the 64 lower-case hex digits without the algorithm.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 hex digits. They tell blobs apart in a log or a table,
// but can't address a blob.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// IsZero reports whether d is the zero value. No bytes are known that have this digest, so
// no row has it: in a row it means "not known". A digest that comes from outside may be
// zero; where it may be missing, its type is *Digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Errors: those of ParseDigest.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// Value implements driver.Valuer: a digest is stored as its 32 raw bytes.
func (d Digest) Value() (driver.Value, error) { return d[:], nil }

// Scan implements sql.Scanner for a column of 32 raw bytes.
func (d *Digest) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("scan digest: column holds %T, not bytes", src)
	}
	if len(b) != len(d) {
		return fmt.Errorf("scan digest: column holds %d bytes, not %d", len(b), len(d))
	}
	copy(d[:], b)
	return nil
}

// DigestsFrom returns the first and the last digest that begin with some hex digits.
func DigestsFrom(digits string) (first, last Digest, err error) {
	if len(digits) > 2*sha256.Size {
		return first, last, fmt.Errorf("%w: %q has more than %d digits", ErrInvalidDigest, clip(digits), 2*sha256.Size)
	}
	if first, err = ParseDigest(digestPrefix + digits + strings.Repeat("0", 2*sha256.Size-len(digits))); err != nil {
		return first, last, err
	}
	last, err = ParseDigest(digestPrefix + digits + strings.Repeat("f", 2*sha256.Size-len(digits)))
	return first, last, err
}
