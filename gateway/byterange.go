package gateway

import (
	"fmt"
	"strconv"
	"strings"

	"casgate/cas"
)

// byteRange is a part of a blob: Length bytes from Offset.
type byteRange struct {
	Offset, Length int64
}

// contentRange returns the value of a 206's Content-Range.
func (r byteRange) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", r.Offset, r.Offset+r.Length-1, size)
}

// parseRange reads a Range header for a blob of size bytes. Partial is false
// where the whole blob is to be sent: no header, a unit other than bytes (RFC
// 9110, section 14.2, says to ignore it), or several ranges, which nobody has to
// serve. A range that lies beyond the end or makes no sense is an error that
// wraps cas.ErrRangeNotSatisfiable.
func parseRange(header string, size int64) (r byteRange, partial bool, err error) {
	if header == "" {
		return byteRange{}, false, nil
	}
	unit, spec, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return byteRange{}, false, nil
	}
	if strings.Contains(spec, ",") {
		return byteRange{}, false, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return byteRange{}, false, badRange(header, "it has no '-'")
	}
	if first == "" {
		n, err := parsePosition(last)
		if err != nil {
			return byteRange{}, false, badRange(header, err.Error())
		}
		if n == 0 || size == 0 {
			return byteRange{}, false, badRange(header, fmt.Sprintf("the blob has %d bytes", size))
		}
		n = min(n, size)
		return byteRange{Offset: size - n, Length: n}, true, nil
	}
	begin, err := parsePosition(first)
	if err != nil {
		return byteRange{}, false, badRange(header, err.Error())
	}
	end := size - 1
	if last != "" {
		given, err := parsePosition(last)
		if err != nil {
			return byteRange{}, false, badRange(header, err.Error())
		}
		if given < begin {
			return byteRange{}, false, badRange(header, "it ends before it begins")
		}
		end = min(end, given)
	}
	if begin >= size {
		return byteRange{}, false, badRange(header, fmt.Sprintf("the blob has %d bytes", size))
	}
	return byteRange{Offset: begin, Length: end - begin + 1}, true, nil
}

// parsePosition reads digits alone; a position beyond any blob's end is cut to
// one that still is.
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
