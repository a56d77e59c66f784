package request

import (
	"fmt"
	"strconv"
	"strings"

	"casgate/cas"
)

// ByteRange is a part of a blob: Length bytes from Offset.
type ByteRange struct {
	Offset, Length int64
}

// ContentRange returns the value of Content-Range in a 206 answer.
func (r ByteRange) ContentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.Offset, r.Offset+r.Length-1, size)
}

// ParseRange reads a Range field for a blob of size bytes. Partial is false if the whole
// blob is to be sent: the field is empty, the unit is not bytes (RFC 9110, section 14.2,
// says to ignore it), there are several ranges, which a server need not serve, or the
// blob is empty, as with net/http and nginx: some clients send a range with each request.
// A range that is malformed or lies beyond the end is an error that wraps
// cas.ErrRangeNotSatisfiable.
func ParseRange(header string, size int64) (r ByteRange, partial bool, err error) {
	if header == "" {
		return ByteRange{}, false, nil
	}
	unit, spec, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return ByteRange{}, false, nil
	}
	if strings.Contains(spec, ",") {
		return ByteRange{}, false, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return ByteRange{}, false, badRange(header, "it has no '-'")
	}
	if first == "" {
		n, err := parsePosition(last)
		if err != nil {
			return ByteRange{}, false, badRange(header, err.Error())
		}
		if size == 0 {
			return ByteRange{}, false, nil
		}
		if n == 0 {
			return ByteRange{}, false, badRange(header, fmt.Sprintf("the blob has %d bytes", size))
		}
		n = min(n, size)
		return ByteRange{Offset: size - n, Length: n}, true, nil
	}
	begin, err := parsePosition(first)
	if err != nil {
		return ByteRange{}, false, badRange(header, err.Error())
	}
	end := size - 1
	if last != "" {
		given, err := parsePosition(last)
		if err != nil {
			return ByteRange{}, false, badRange(header, err.Error())
		}
		if given < begin {
			return ByteRange{}, false, badRange(header, "it ends before it begins")
		}
		end = min(end, given)
	}
	if size == 0 {
		return ByteRange{}, false, nil
	}
	if begin >= size {
		return ByteRange{}, false, badRange(header, fmt.Sprintf("the blob has %d bytes", size))
	}
	return ByteRange{Offset: begin, Length: end - begin + 1}, true, nil
}

// parsePosition reads digits alone. It turns a position beyond the end of any blob into
// one that still is beyond it.
func parsePosition(s string) (int64, error) {
	if s == "" {
		return 0, fmt.Errorf("a position is missing")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, fmt.Errorf("%q is not a number", s[:min(len(s), 20)])
		}
	}
	const beyond = int64(1) << 62
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > beyond {
		return beyond, nil
	}
	return n, nil
}

func badRange(header, why string) error {
	return fmt.Errorf("%w: %q: %s", cas.ErrRangeNotSatisfiable, header[:min(len(header), 100)], why)
}
