package s3store

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// byteRange is the part of an object that an answer has: the bytes first to last, of
// size. An empty object has last -1.
type byteRange struct{ first, last, size int64 }

// answeredRange returns the range that an answer has, by its Content-Range (RFC 9110,
// section 14.4) and its length in bytes. An answer without Content-Range has the whole
// object: a store, or a cache before it, may ignore the range that was asked for.
func answeredRange(contentRange string, length int64) (byteRange, error) {
	if contentRange == "" {
		if length < 0 {
			return byteRange{}, fmt.Errorf("the answer does not say how long it is")
		}
		return byteRange{0, length - 1, length}, nil
	}
	var r byteRange
	unit, rest, _ := strings.Cut(contentRange, " ")
	positions, size, _ := strings.Cut(rest, "/")
	first, last, _ := strings.Cut(positions, "-")
	for _, field := range []struct {
		text  string
		value *int64
	}{{first, &r.first}, {last, &r.last}, {size, &r.size}} {
		n, err := strconv.ParseInt(strings.TrimSpace(field.text), 10, 64)
		if err != nil || n < 0 || unit != "bytes" {
			return r, fmt.Errorf("Content-Range %q does not name a range and the object's size", contentRange)
		}
		*field.value = n
	}
	if r.last < r.first || r.last >= r.size || length >= 0 && length != r.last-r.first+1 {
		return r, fmt.Errorf("Content-Range %q does not fit an answer of %d bytes", contentRange, length)
	}
	return r, nil
}

// covers returns an error if the answer lacks bytes of length bytes from offset (to the
// end, if length is negative) that the object has.
func (r byteRange) covers(offset, length int64) error {
	end := r.size // after the last byte asked for
	if length >= 0 {
		end = min(end, offset+length)
	}
	switch {
	case offset > r.size:
		return fmt.Errorf("the object has %d bytes, and %d were asked for from %d", r.size, length, offset)
	case offset < end && (r.first > offset || r.last+1 < end):
		return fmt.Errorf("the store sent the bytes %d to %d, not those from %d to %d", r.first, r.last, offset, end-1)
	}
	return nil
}

// partOf reads the part of an answer that was asked for.
type partOf struct {
	io.ReadCloser
	skip int64 // bytes before the part
	left int64 // bytes of the part not read yet
}

// Read implements io.Reader. An answer that ends before the part does gives
// io.ErrUnexpectedEOF.
func (p *partOf) Read(b []byte) (int, error) {
	if p.skip > 0 {
		n, err := io.CopyN(io.Discard, p.ReadCloser, p.skip)
		p.skip -= n
		if err != nil {
			return 0, early(err)
		}
	}
	if p.left <= 0 {
		return 0, io.EOF
	}
	n, err := p.ReadCloser.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	if p.left > 0 {
		err = early(err)
	}
	return n, err
}

// early returns io.ErrUnexpectedEOF for an end that comes too early.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
