package cas

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// VerifyingReader is the one place where bytes are checked against a digest. It hashes
// the bytes of a source while they are read. If length or digest are wrong, it returns
// an error in place of io.EOF.
//
// It withholds the last bytes until the digest is verified. So no consumer ever holds
// all the bytes of a wrong blob: neither one that stops at the declared length, as an
// HTTP client with a request body does, nor one that forwards bytes as they come.
type VerifyingReader struct {
	src    io.Reader
	want   Digest
	size   int64
	hash   hash.Hash
	sum    []byte // the expected result of hash
	read   int64
	sticky error // the result of every further Read
	// witness gets the bytes that Read returns; nil: none does.
	witness Witness
}

// A Witness gets the bytes of a VerifyingReader as they are read.
type Witness interface {
	// Saw gets the next bytes. It must not keep them.
	Saw(p []byte)
	// Again says that the bytes come again from the first one.
	Again()
}

// SetWitness makes w get all bytes that Read returns from now on. The client of an object store
// may go on reading after the store has answered, so w is called until the source ends.
func (v *VerifyingReader) SetWitness(w Witness) { v.witness = w }

// NewVerifyingReader expects src to yield exactly size bytes with digest want.
func NewVerifyingReader(src io.Reader, want Digest, size int64) *VerifyingReader {
	return &VerifyingReader{src: src, want: want, size: size, hash: sha256.New(), sum: want[:]}
}

// Size returns the number of bytes expected.
func (v *VerifyingReader) Size() int64 { return v.size }

// Digest returns the digest expected.
func (v *VerifyingReader) Digest() Digest { return v.want }

// Err returns the error that ended the reads, or nil if they have not ended, or ended
// with io.EOF. With it a caller tells a failed source from a failed sink.
func (v *VerifyingReader) Err() error {
	if errors.Is(v.sticky, io.EOF) {
		return nil
	}
	return v.sticky
}

// Rewind starts again from the source's first byte. It returns false if it can't: a
// source that is not an io.Seeker can be read only once.
func (v *VerifyingReader) Rewind() bool {
	seeker, ok := v.src.(io.Seeker)
	if !ok {
		return false
	}
	if _, err := seeker.Seek(0, io.SeekStart); err != nil {
		return false
	}
	v.hash.Reset()
	v.read, v.sticky = 0, nil
	if v.witness != nil {
		v.witness.Again()
	}
	return true
}

// CanRewind reports whether Rewind can succeed.
func (v *VerifyingReader) CanRewind() bool {
	_, ok := v.src.(io.Seeker)
	return ok
}

// Read implements io.Reader. It returns errors of the source unchanged. For wrong
// bytes, too few or too many, the error wraps ErrDigestMismatch.
func (v *VerifyingReader) Read(p []byte) (int, error) {
	n, err := v.next(p)
	if n > 0 && v.witness != nil {
		v.witness.Saw(p[:n])
	}
	return n, err
}

func (v *VerifyingReader) next(p []byte) (int, error) {
	if v.sticky != nil {
		return 0, v.sticky
	}
	if len(p) == 0 {
		return 0, nil
	}
	if remaining := v.size - v.read; int64(len(p)) > remaining {
		p = p[:remaining]
	}
	n := 0
	if len(p) > 0 {
		var err error
		n, err = v.src.Read(p)
		v.hash.Write(p[:n])
		v.read += int64(n)
		if err != nil && err != io.EOF {
			v.sticky = err
			return n, err
		}
		if v.read < v.size {
			if err == io.EOF {
				v.sticky = fmt.Errorf("%w: the body ended after %d of %d bytes", ErrDigestMismatch, v.read, v.size)
				return n, v.sticky
			}
			return n, nil
		}
	}
	// All expected bytes are read: verify them before the last ones are returned.
	if err := v.verifyEnd(); err != nil {
		v.sticky = err
		return 0, err
	}
	v.sticky = io.EOF
	return n, io.EOF
}

// sumName returns the name of what is compared.
func (v *VerifyingReader) sumName() string {
	if len(v.sum) < len(v.want) {
		return "fingerprint"
	}
	return "digest"
}

// verifyEnd compares the digest or the fingerprint, and checks that the source has no more bytes.
func (v *VerifyingReader) verifyEnd() error {
	var buf Digest
	if got := v.hash.Sum(buf[:0]); !bytes.Equal(got, v.sum) {
		return fmt.Errorf("%w: the bytes of %s have the %s %x, not %x", ErrDigestMismatch, v.want, v.sumName(), got, v.sum)
	}
	// io.Reader may return no bytes and no error, but not without end.
	var one [1]byte
	for range 100 {
		n, err := v.src.Read(one[:])
		if n > 0 {
			return fmt.Errorf("%w: the body continues after the declared %d bytes", ErrDigestMismatch, v.size)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}
