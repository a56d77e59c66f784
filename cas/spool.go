package cas

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	// smallBuffer and SpoolMemory are the sizes of the pooled buffers, in bytes. A body
	// larger than SpoolMemory continues in a temporary file on disk.
	smallBuffer = 64 << 10
	// SpoolMemory is the largest part of one upload that is held in memory, in bytes. An
	// upload up to this size can be repeated without the client.
	SpoolMemory = 1 << 20
)

// spool reads bodies whose digest or length is not known, and hashes them. Each body
// uses at most SpoolMemory bytes of memory. The rest is in a file on disk without a name,
// so a crash leaves nothing behind.
type spool struct {
	dir   string
	limit int64 // bytes in files on disk at once; 0 means no limit
	used  atomic.Int64
	small sync.Pool
	large sync.Pool
}

func newSpool(dir string, limit int64) *spool {
	return &spool{
		dir:   dir,
		limit: limit,
		small: sync.Pool{New: func() any { return new([smallBuffer]byte) }},
		large: sync.Pool{New: func() any { return new([SpoolMemory]byte) }},
	}
}

// spooled is a body that was read to its end. Close releases it.
type spooled struct {
	spool  *spool
	digest Digest
	size   int64
	small  *[smallBuffer]byte
	large  *[SpoolMemory]byte
	memory []byte   // the body, if it fits
	file   *os.File // the body, if it doesn't fit
	inFile int64
	seen   sniffer // of the bytes in the file on disk
}

// take reads r to its end. Errors: ErrBlobTooLarge for more than most bytes, ErrNoSpace
// if the disk or the spool is full, ErrSpoolUnusable, and r's own errors, unchanged.
func (s *spool) take(r io.Reader, most int64) (_ *spooled, err error) {
	b := &spooled{spool: s}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()

	b.small = s.small.Get().(*[smallBuffer]byte)
	n, ended, err := fill(r, b.small[:])
	b.memory = b.small[:n]
	if err == nil && !ended {
		b.large = s.large.Get().(*[SpoolMemory]byte)
		copy(b.large[:], b.memory)
		var more int
		more, ended, err = fill(r, b.large[n:])
		b.memory = b.large[:n+more]
	}
	switch {
	case err != nil:
		return nil, err
	case int64(len(b.memory)) > most:
		return nil, tooLarge(most)
	case ended:
		b.size = int64(len(b.memory))
		b.digest = DigestOf(b.memory)
		return b, nil
	}
	return b, b.spill(r, most)
}

// fill reads until buf is full or r ends. Unlike io.ReadFull it tells a body that ended
// from one that broke off: a truncated HTTP body returns io.ErrUnexpectedEOF, and that
// is an error here.
func fill(r io.Reader, buf []byte) (n int, ended bool, err error) {
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// spill moves the body to a file on disk and reads the rest into it.
func (b *spooled) spill(r io.Reader, most int64) error {
	file, err := b.spool.createFile()
	if err != nil {
		return b.spool.error(err)
	}
	b.file = file
	hash := sha256.New()
	// The large buffer now serves as the copy buffer.
	chunk := b.memory
	for {
		b.size += int64(len(chunk))
		if b.size > most {
			return tooLarge(most)
		}
		if err := b.reserve(int64(len(chunk))); err != nil {
			return err
		}
		hash.Write(chunk)
		b.seen.Write(chunk)
		if _, err := b.file.Write(chunk); err != nil {
			return b.spool.error(err)
		}
		n, ended, err := fill(r, b.large[:])
		if err != nil {
			return err
		}
		if n == 0 && ended {
			break
		}
		chunk = b.large[:n]
	}
	hash.Sum(b.digest[:0])
	b.memory = nil
	b.releaseBuffers()
	return nil
}

// reserve counts n more bytes in files on disk.
func (b *spooled) reserve(n int64) error {
	b.inFile += n
	if used := b.spool.used.Add(n); b.spool.limit > 0 && used > b.spool.limit {
		return fmt.Errorf("%w: other uploads fill the spool (%d bytes allowed)", ErrNoSpace, b.spool.limit)
	}
	return nil
}

// reader returns the body from its first byte. The reader is an io.Seeker too.
func (b *spooled) reader() io.Reader {
	if b.file == nil {
		return bytes.NewReader(b.memory)
	}
	return io.NewSectionReader(b.file, 0, b.size)
}

// sniffed returns what decides the body's media type.
func (b *spooled) sniffed() sniffed {
	if b.file == nil {
		return sniff(b.memory)
	}
	return b.seen.sniffed()
}

// Close gives back buffers and disk space.
func (b *spooled) Close() {
	b.memory = nil
	b.releaseBuffers()
	if b.file != nil {
		b.file.Close()
		b.file = nil
	}
	b.spool.used.Add(-b.inFile)
	b.inFile = 0
}

func (b *spooled) releaseBuffers() {
	if b.small != nil {
		b.spool.small.Put(b.small)
		b.small = nil
	}
	if b.large != nil {
		b.spool.large.Put(b.large)
		b.large = nil
	}
}

// createFile creates a temporary file on disk in the spool's folder. If somebody has removed the
// folder, it makes it again.
func (s *spool) createFile() (*os.File, error) {
	f, err := unlinkedFile(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.Mkdir(s.dir, 0o700); err == nil || errors.Is(err, os.ErrExist) {
			f, err = unlinkedFile(s.dir)
		}
	}
	return f, err
}

// unlinkedFile creates a temporary file on disk that disappears when it is closed, or when
// the process ends.
func unlinkedFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// error returns the error for a file on disk that could not be created or written.
func (s *spool) error(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: spooling an upload: %w", ErrNoSpace, err)
	}
	return fmt.Errorf("%w: make %q a folder that this process may write to, on a disk that works: %w", ErrSpoolUnusable, cmp.Or(s.dir, os.TempDir()), err)
}

// check returns an error if no file on disk can be created in the spool's folder.
func (s *spool) check() error {
	file, err := s.createFile()
	if err != nil {
		return s.error(err)
	}
	file.Close() // nothing was written
	return nil
}

func tooLarge(most int64) error {
	return fmt.Errorf("%w: at most %d bytes are allowed", ErrBlobTooLarge, most)
}
