package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// bookkeepingTimeout limits a write to the index after a read found damage.
const bookkeepingTimeout = 5 * time.Second

// Blob returns the blob, or ErrBlobNotFound. While the index is unavailable, and if
// Options.ReadWithoutIndex is set, Blob still finds the blob by its object, since the
// digest gives the object's key. The blob then has no name and the media type
// application/octet-stream.
func (s *Store) Blob(ctx context.Context, d Digest) (Blob, error) {
	b, err := s.index.Blob(ctx, d)
	if err == nil || !s.readWithoutIndex || !errors.Is(err, ErrIndexUnavailable) {
		return b, err
	}
	// Blob tries generation 0 only: the others are rare, and only the index knows them.
	ref := ObjectRef{Digest: d}
	if bytes, ok := s.memory.bytes(d); ok {
		return Blob{Digest: d, Size: int64(len(bytes)), MediaType: DefaultMediaType, State: StateLive}, nil
	}
	size, sizeErr := s.objectSize(ctx, ref)
	if sizeErr != nil {
		return Blob{}, fmt.Errorf("%w (and its object could not be read either: %v)", err, sizeErr)
	}
	return Blob{Digest: d, Size: size, MediaType: DefaultMediaType, State: StateLive}, nil
}

// objectSize returns the size of an object. If the store does not answer, it is that of a
// copy, which can be read still.
func (s *Store) objectSize(ctx context.Context, ref ObjectRef) (int64, error) {
	stat, err := s.objects.Stat(ctx, ref)
	if !errors.Is(err, ErrStoreUnavailable) {
		return stat.Size, err
	}
	object, err := s.objects.Open(ctx, ref, 0, -1)
	if err != nil {
		return 0, err
	}
	object.Body.Close()
	return object.Size, nil
}

// Content is an open blob, or a range of one.
type Content struct {
	Blob Blob
	// Length is the number of bytes to come.
	Length int64
	// Bytes holds the bytes if they are in memory. Callers must not change them.
	Bytes []byte
	// Body yields the bytes if Bytes is nil. A read of a whole blob checks the digest, or
	// the fingerprint of bytes whose digest was checked recently: if it is wrong, Read returns
	// an error in place of the last bytes. If Body is an *os.File, it is positioned at the
	// first byte and has at least Length bytes left.
	Body io.ReadCloser
}

// ChecksFingerprint reports whether a read of Body compares a fingerprint in place of the
// digest.
func (c *Content) ChecksFingerprint() bool {
	v, ok := c.Body.(*verifiedBody)
	return ok && v.isRepeated
}

// Close releases the content.
func (c *Content) Close() error {
	if c.Body == nil {
		return nil
	}
	return c.Body.Close()
}

// IsRangeable reports whether parts of the blob may be read. A suspect blob is read
// only as a whole, since only the whole can be verified.
func (b Blob) IsRangeable() bool { return b.State != StateSuspect }

// Open reads length bytes of b at offset. A length below 0 means to the end. b is a
// result of Blob. Errors: ErrBlobNotFound if the blob was deleted meanwhile,
// ErrObjectMissing and ErrObjectCorrupt if the index has the blob but its bytes are
// missing or wrong, ErrRangeNotSatisfiable, ErrStoreUnavailable.
func (s *Store) Open(ctx context.Context, b Blob, offset, length int64) (*Content, error) {
	if offset < 0 || offset > b.Size || offset == b.Size && b.Size > 0 {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrRangeNotSatisfiable, b.Digest, b.Size)
	}
	if length < 0 || length > b.Size-offset {
		length = b.Size - offset
	}
	s.MarkUsed(b.Digest)
	if s.memory.isSmall(b.Size) {
		return s.openSmall(ctx, b, offset, length)
	}
	whole := offset == 0 && length == b.Size
	wanted := length
	if whole {
		wanted = -1
	}
	object, b, err := s.openObject(ctx, b, offset, wanted)
	if err != nil {
		return nil, err
	}
	c := &Content{Blob: b, Length: length, Body: object.Body}
	if whole {
		c.Body = s.compared(object, b)
	} else if _, isFile := object.Body.(*os.File); !isFile {
		c.Body = newUnverifiedBody(object.Body, s, b.Object())
	}
	return c, nil
}

// OpenVerified is Open of the whole of b, but always verifies. It is for bytes that go
// to a receiver that does not check them.
func (s *Store) OpenVerified(ctx context.Context, b Blob) (*Content, error) {
	s.MarkUsed(b.Digest)
	if s.memory.isSmall(b.Size) {
		return s.openSmall(ctx, b, 0, b.Size)
	}
	object, b, err := s.openObject(ctx, b, 0, -1)
	if err != nil {
		return nil, err
	}
	return &Content{Blob: b, Length: b.Size, Body: s.verified(object, b)}, nil
}

// compared returns a body that verifies an object with the whole of b. If it was verified
// recently, the body compares the fingerprint of its bytes only.
func (s *Store) compared(object Object, b Blob) io.ReadCloser {
	known, ok := s.memory.verification(b.Object(), object.Version)
	if !ok || b.State == StateSuspect {
		return s.verified(object, b)
	}
	return &verifiedBody{
		VerifyingReader: newFingerprintReader(object.Body, b.Digest, b.Size, known.fingerprint),
		Closer:          object.Body,
		store:           s,
		blob:            b,
		copy:            object.Copy,
		isRepeated:      true,
	}
}

// verified returns a body that verifies an object with the whole of b.
func (s *Store) verified(object Object, b Blob) io.ReadCloser {
	v := &verifiedBody{Closer: object.Body, store: s, blob: b, copy: object.Copy, version: object.Version}
	src := io.Reader(object.Body)
	if s.memory.remembers(object.Version) {
		v.fingerprint = newFingerprintHash()
		src = io.TeeReader(src, v.fingerprint)
	}
	v.VerifyingReader = NewVerifyingReader(src, b.Digest, b.Size)
	return v
}

// openSmall reads a small blob from memory. If it is not there, openSmall first reads
// all of it into memory, so the blob is verified before the first byte is sent.
func (s *Store) openSmall(ctx context.Context, b Blob, offset, length int64) (*Content, error) {
	bytes, ok := s.memory.bytes(b.Digest)
	if !ok {
		var err error
		if bytes, b, err = s.readSmall(ctx, b); errors.Is(err, ErrCopyDamaged) {
			bytes, b, err = s.readSmall(ctx, b)
		}
		if err != nil {
			return nil, err
		}
		s.memory.keep(b.Digest, bytes)
	}
	return &Content{Blob: b, Length: length, Bytes: bytes[offset : offset+length : offset+length]}, nil
}

// readSmall reads and verifies the object of a small blob.
func (s *Store) readSmall(ctx context.Context, b Blob) ([]byte, Blob, error) {
	object, b, err := s.openObject(ctx, b, 0, -1)
	if err != nil {
		return nil, b, err
	}
	defer object.Body.Close()
	bytes := newHotBytes(b.Size)
	if err := readWhole(NewVerifyingReader(object.Body, b.Digest, b.Size), bytes); err != nil {
		if err = s.objectError(b.Object(), object.Copy, err); errors.Is(err, ErrObjectCorrupt) {
			return nil, b, err
		}
		return nil, b, fmt.Errorf("%w: reading %s: %w", ErrStoreUnavailable, b.Digest, err)
	}
	s.found(b, object.Copy)
	return bytes, b, nil
}

// found records that a read of the whole object found it right.
func (s *Store) found(b Blob, c Copy) {
	if c != nil {
		c.Verified()
	}
	if c == nil || c.IsFresh() {
		s.trust(b)
	}
}

// readWhole fills buf, which is as long as the body, and returns the verifier's error.
func readWhole(body *VerifyingReader, buf []byte) error {
	if len(buf) == 0 {
		var none [1]byte // an empty body is verified by a read of at least one byte
		if _, err := body.Read(none[:]); err != io.EOF {
			return err
		}
		return nil
	}
	_, err := io.ReadFull(body, buf)
	return err
}

// openObject opens a blob's object. If the object is missing, the cached row may be out
// of date, so openObject asks the index once more. If the row is right and the object
// is not, openObject marks the blob suspect.
func (s *Store) openObject(ctx context.Context, b Blob, offset, length int64) (Object, Blob, error) {
	object, err := s.objects.Open(ctx, b.Object(), offset, length)
	if err == nil && object.Copy != nil && object.Size != b.Size {
		object.Copy.Damaged()
		object.Body.Close()
		object, err = s.objects.Open(ctx, b.Object(), offset, length)
	}
	if errors.Is(err, ErrObjectMissing) {
		stale := b
		if b, err = s.refetch(ctx, b.Digest); err != nil {
			return Object{}, b, err
		}
		// Try again even for the same generation: an upload may have written it meanwhile.
		object, err = s.objects.Open(ctx, b.Object(), offset, length)
		if errors.Is(err, ErrObjectMissing) {
			s.suspect(b.Object(), err)
			return Object{}, b, err
		}
		if err == nil && b.Size != stale.Size {
			object.Body.Close()
			return Object{}, b, fmt.Errorf("%w: %s changed its size from %d to %d bytes", ErrObjectCorrupt, b.Digest, stale.Size, b.Size)
		}
	}
	if errors.Is(err, ErrObjectCorrupt) {
		s.suspect(b.Object(), err)
		return Object{}, b, err
	}
	if errors.Is(err, ErrRangeNotSatisfiable) || err == nil && object.Size != b.Size {
		// The range is within the blob, so the object is too short.
		if err == nil && object.Copy != nil && !object.Copy.IsFresh() {
			object.Body.Close()
			return Object{}, b, fmt.Errorf("%w (it had %d bytes, and %s has %d)", ErrCopyDamaged, object.Size, b.Digest, b.Size)
		}
		wrong := fmt.Errorf("%w: %s should have %d bytes", ErrObjectCorrupt, b.Object().Key(), b.Size)
		if err == nil {
			wrong = fmt.Errorf("%w, and has %d", wrong, object.Size)
			object.Body.Close()
		}
		if isPart := offset > 0 || length >= 0 && length < b.Size; isPart && s.hasRightSize(ctx, b) {
			return Object{}, b, fmt.Errorf("%w: a range of %s was answered wrongly: %v", ErrStoreUnavailable, b.Object().Key(), wrong)
		}
		s.suspect(b.Object(), wrong)
		return Object{}, b, wrong
	}
	if err == nil && (object.Copy == nil || object.Copy.IsFresh()) {
		s.memory.setSeen(b.Object())
	}
	return object, b, err
}

// hasRightSize reports whether a blob's object, asked for as a whole, has the blob's
// size. The answer to a range is no proof that it has another one: a cache before the
// store may answer with bytes of another range.
func (s *Store) hasRightSize(ctx context.Context, b Blob) bool {
	whole, err := s.objects.Open(ctx, b.Object(), 0, -1)
	if err != nil {
		return false
	}
	whole.Body.Close()
	return whole.Size == b.Size
}

// refetch asks the index without its cache.
func (s *Store) refetch(ctx context.Context, d Digest) (Blob, error) {
	s.forget(d)
	return s.index.Blob(ctx, d)
}

// forget removes a blob from the index's cache.
func (s *Store) forget(d Digest) {
	if f, ok := s.index.(Forgetter); ok {
		f.Forget(d)
	}
}

// ForgetObject forgets what the store and the index's cache know about an object that was
// found damaged: the next full read asks the index and computes the digest, and an upload
// of its bytes looks at the object before it counts as present.
func (s *Store) ForgetObject(ref ObjectRef) {
	s.forget(ref.Digest)
	s.memory.forgetObject(ref)
}

// suspect records that an object is missing or damaged. If that fails, suspect logs the
// failure, and the next read finds the damage again.
func (s *Store) suspect(ref ObjectRef, cause error) {
	s.memory.forgetObject(ref)
	s.log.Error().Err(cause).Str("digest", ref.Digest.String()).Str("object", ref.Key()).
		Msg("object is missing or damaged; uploading the blob again repairs it")
	ctx, cancel := context.WithTimeout(context.Background(), bookkeepingTimeout)
	defer cancel()
	if err := s.index.Suspect(ctx, ref); err != nil {
		s.log.Error().Err(err).Str("digest", ref.Digest.String()).Msg("could not mark the blob suspect")
	}
}

// trust makes a suspect blob live again, after a read that found its object right. If
// that fails, the next full read tries again.
func (s *Store) trust(b Blob) {
	if b.State != StateSuspect {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), bookkeepingTimeout)
	defer cancel()
	if err := s.index.Trust(ctx, b.Object()); err != nil {
		s.log.Error().Err(err).Str("digest", b.Digest.String()).Msg("could not mark a verified blob live")
		return
	}
	s.log.Info().Str("digest", b.Digest.String()).Msg("the object of a suspect blob was verified; the blob is live")
}

// verifiedBody streams a whole object and records the result of the verification.
type verifiedBody struct {
	*VerifyingReader
	io.Closer
	store *Store
	blob  Blob
	copy  Copy // the object's
	// isRepeated: only the fingerprint is compared.
	isRepeated bool
	// version is the object's, and fingerprint hashes the bytes as they are read, to be
	// remembered together. No hasher means that they are not remembered.
	version     string
	fingerprint fingerprintHash
	done        bool
}

func (v *verifiedBody) Read(p []byte) (int, error) {
	n, err := v.VerifyingReader.Read(p)
	if err == nil || v.done {
		return n, err
	}
	v.done = true
	if err == io.EOF {
		if v.fingerprint.Hasher != nil {
			v.store.memory.setVerified(v.blob.Object(), verification{v.version, v.fingerprint.sum()})
		}
		v.store.found(v.blob, v.copy)
		return n, err
	}
	return n, v.store.objectError(v.blob.Object(), v.copy, err)
}

// unverifiedBody streams a part of an object. It records damage that the object store
// reports.
type unverifiedBody struct {
	io.ReadCloser
	store *Store
	ref   ObjectRef
}

// sendingBody is an unverifiedBody whose bytes may go from a file on disk to a connection
// without passing through the process.
type sendingBody struct {
	unverifiedBody
	src io.WriterTo
}

// WriteTo implements io.WriterTo.
func (b *sendingBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.src.WriteTo(w)
	if err != nil {
		err = b.store.readError(b.ref, err)
	}
	return n, err
}

func newUnverifiedBody(body io.ReadCloser, s *Store, ref ObjectRef) io.ReadCloser {
	u := unverifiedBody{body, s, ref}
	if src, ok := body.(io.WriterTo); ok {
		return &sendingBody{u, src}
	}
	return &u
}

func (u *unverifiedBody) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = u.store.readError(u.ref, err)
	}
	return n, err
}

// objectError is readError for bytes that may have come from a copy of the object.
func (s *Store) objectError(ref ObjectRef, c Copy, err error) error {
	if c == nil || !errors.Is(err, ErrDigestMismatch) {
		return s.readError(ref, err)
	}
	if c.IsFresh() {
		// The object itself was read. Should the copy's disk have changed the bytes, the next
		// full read, which bypasses the copy, makes the blob live again.
		c.Damaged()
		return s.readError(ref, err)
	}
	s.log.Warn().Err(err).Str("digest", ref.Digest.String()).Msg("a local copy of an object was damaged; it is dropped")
	s.memory.forgetObject(ref)
	c.Damaged()
	return fmt.Errorf("%w (%v)", ErrCopyDamaged, err)
}

// readError returns the error of a read. If it is damage of this object, readError marks
// the blob suspect, and the result wraps ErrObjectCorrupt.
func (s *Store) readError(ref ObjectRef, err error) error {
	err = ReadDamage(s.objects, err)
	if errors.Is(err, ErrObjectCorrupt) {
		s.suspect(ref, err)
	}
	return err
}

// ReadDamage returns the error of a read of an object, such as a VerifyingReader's. If
// the object is damaged, the result wraps ErrObjectCorrupt.
func ReadDamage(objects ObjectStore, err error) error {
	if errors.Is(err, ErrDigestMismatch) || isBadSector(objects, err) {
		return fmt.Errorf("%w: %w", ErrObjectCorrupt, err)
	}
	return err
}

// damagedFileSystem is Linux's EUCLEAN. Package syscall doesn't have it everywhere.
const damagedFileSystem = syscall.Errno(117)

// isBadSector reports whether a disk could not read one file, but works otherwise.
func isBadSector(objects ObjectStore, err error) bool {
	if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EBADMSG) && !errors.Is(err, damagedFileSystem) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), bookkeepingTimeout)
	defer cancel()
	return objects.Check(ctx) == nil
}
