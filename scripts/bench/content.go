package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"casgate/cas"
)

const (
	chunkSize = 1 << 20
	tailSize  = 32
)

// content is a body of size bytes: the same pseudo-random megabyte again and again,
// and a tail that no other content has. So bodies of any size cost no memory, and
// all but the last block of the digest is computed once per size: neither takes
// time from the measurement.
type content struct {
	size int64
	tail [tailSize]byte
}

// numbers tells contents apart.
var numbers atomic.Uint64

// newContent returns a content of size bytes, at least tailSize, that is unlike
// any before.
func newContent(size int64) *content { return numberedContent(size, numbers.Add(1)) }

// numberedContent returns the same content for the same number in each process.
func numberedContent(size int64, number uint64) *content {
	c := &content{size: size}
	copy(c.tail[:], "casgate bench, content ")
	binary.BigEndian.PutUint64(c.tail[tailSize-8:], number)
	return c
}

// chunk is the megabyte.
var chunk = sync.OnceValue(func() []byte {
	var seed [32]byte
	copy(seed[:], "casgate bench")
	b := make([]byte, chunkSize)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails, by its documentation
	return b
})

// from returns bytes of the content at off: as many as lie in one piece.
func (c *content) from(off int64) []byte {
	prefix := c.size - tailSize
	if off >= prefix {
		return c.tail[off-prefix:]
	}
	at := off % chunkSize
	return chunk()[at:min(chunkSize, at+prefix-off)]
}

// prefixes holds, by size, the state of SHA-256 before the tail.
var prefixes sync.Map // int64 → func() hash.Cloner

// digest returns the content's digest.
func (c *content) digest() cas.Digest {
	prefix, ok := prefixes.Load(c.size)
	if !ok {
		prefix, _ = prefixes.LoadOrStore(c.size, sync.OnceValue(func() hash.Cloner {
			h := sha256.New().(hash.Cloner)
			for off := int64(0); off < c.size-tailSize; {
				n, _ := h.Write(c.from(off)) // a hash takes everything
				off += int64(n)
			}
			return h
		}))
	}
	h, err := prefix.(func() hash.Cloner)().Clone()
	if err != nil {
		panic(err) // the standard library's SHA-256 can be cloned
	}
	h.Write(c.tail[:])
	var d cas.Digest
	h.Sum(d[:0])
	return d
}

// matches reports whether p equals the content at off.
func (c *content) matches(off int64, p []byte) bool {
	if off+int64(len(p)) > c.size {
		return false
	}
	for len(p) > 0 {
		piece := c.from(off)
		piece = piece[:min(len(piece), len(p))]
		if !bytes.Equal(piece, p[:len(piece)]) {
			return false
		}
		off += int64(len(piece))
		p = p[len(piece):]
	}
	return true
}

// WriteTo implements io.WriterTo.
func (c *content) WriteTo(w io.Writer) (int64, error) {
	for off := int64(0); off < c.size; {
		n, err := w.Write(c.from(off))
		off += int64(n)
		if err != nil {
			return off, err
		}
	}
	return c.size, nil
}

// bytes returns the content whole, for where it is small.
func (c *content) bytes() []byte {
	var b bytes.Buffer
	_, _ = c.WriteTo(&b) // a buffer takes everything
	return b.Bytes()
}

// reader returns a reader of the content for clients that want one.
func (c *content) reader() io.ReadSeeker { return &contentReader{content: c} }

// open starts a read of the content.
func (c *content) open(context.Context) (io.ReadCloser, error) { return io.NopCloser(c.reader()), nil }

type contentReader struct {
	content *content
	off     int64
}

func (r *contentReader) Read(p []byte) (int, error) {
	if r.off >= r.content.size {
		return 0, io.EOF
	}
	n := copy(p, r.content.from(r.off))
	r.off += int64(n)
	return n, nil
}

func (r *contentReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.content.size
	}
	if offset < 0 {
		return r.off, errors.New("seek before the content's beginning")
	}
	r.off = offset
	return offset, nil
}
