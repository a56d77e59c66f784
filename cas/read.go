package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// bookkeepingTimeout bounds what a read writes to the index when it finds damage.
const bookkeepingTimeout = 5 * time.Second

// Blob returns what is known of a blob, or ErrBlobNotFound. While the index can't
// be reached a blob is still found by its object, whose key follows from the
// digest; it then has no name and the media type application/octet-stream.
func (s *Store) Blob(ctx context.Context, d Digest) (Blob, error) {
	b, err := s.index.Blob(ctx, d)
	if err == nil || !errors.Is(err, ErrIndexUnavailable) {
		return b, err
	}
	// The plain generation is tried alone: others are rare, and only the index
	// knows them.
	ref := ObjectRef{Digest: d}
	if bytes, ok := s.memory.bytes(d); ok {
		return Blob{Digest: d, Size: int64(len(bytes)), MediaType: DefaultMediaType, State: StateLive}, nil
	}
	object, openErr := s.objects.Open(ctx, ref, 0, -1)
	if openErr != nil {
		return Blob{}, fmt.Errorf("%w (and its object could not be read either: %v)", err, openErr)
	}
	object.Body.Close()
	return Blob{Digest: d, Size: object.Size, MediaType: DefaultMediaType, State: StateLive}, nil
}

// Content is an open blob, or a range of one.
type Content struct {
	Blob Blob
	// Length is the number of bytes to come.
	Length int64
	// Bytes are those bytes, where they are in memory. Nobody may change them.
	Bytes []byte
	// Body yields those bytes where Bytes is nil. A read of a whole blob that has not
	// been verified lately ends in an error, in place of the last bytes, where the
	// bytes are not those of the digest. Where Body is an *os.File it stands at the
	// first byte and holds at least Length more.
	Body io.ReadCloser
}

// Close releases the content.
func (c *Content) Close() error {
	if c.Body == nil {
		return nil
	}
	return c.Body.Close()
}

// IsRangeable reports whether parts of the blob may be read. A suspect blob is
// only read as a whole, since only a whole can be verified.
func (b Blob) IsRangeable() bool { return b.State != StateSuspect }

// Open reads length bytes of b at offset; length < 0 means to the end. b comes
// from Blob. Errors: ErrBlobNotFound where the blob was deleted meanwhile,
// ErrObjectMissing and ErrObjectCorrupt where the index knows the blob and its
// bytes are gone or wrong, ErrRangeNotSatisfiable, ErrStoreUnavailable.
func (s *Store) Open(ctx context.Context, b Blob, offset, length int64) (*Content, error) {
	if offset < 0 || offset > b.Size || offset == b.Size && b.Size > 0 {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrRangeNotSatisfiable, b.Digest, b.Size)
	}
	if length < 0 || length > b.Size-offset {
		length = b.Size - offset
	}
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
	if whole && (b.State == StateSuspect || !s.memory.isVerified(b.Object())) {
		c.Body = s.verified(object, b)
	}
	return c, nil
}

// OpenVerified reads the whole of b, as Open does, and verifies it also where that
// was done lately: for bytes that are handed on to where nobody checks them.
func (s *Store) OpenVerified(ctx context.Context, b Blob) (*Content, error) {
	if s.memory.isSmall(b.Size) {
		return s.openSmall(ctx, b, 0, b.Size)
	}
	object, b, err := s.openObject(ctx, b, 0, -1)
	if err != nil {
		return nil, err
	}
	return &Content{Blob: b, Length: b.Size, Body: s.verified(object, b)}, nil
}

// verified puts the verification around an object that holds the whole of b.
func (s *Store) verified(object Object, b Blob) io.ReadCloser {
	return &verifiedBody{
		VerifyingReader: NewVerifyingReader(object.Body, b.Digest, b.Size),
		Closer:          object.Body,
		store:           s,
		ref:             b.Object(),
	}
}

// openSmall reads a small blob from memory, or whole into memory, so that it is
// verified before the first byte goes out.
func (s *Store) openSmall(ctx context.Context, b Blob, offset, length int64) (*Content, error) {
	bytes, ok := s.memory.bytes(b.Digest)
	if !ok {
		object, fresh, err := s.openObject(ctx, b, 0, -1)
		if err != nil {
			return nil, err
		}
		defer object.Body.Close()
		b = fresh
		body := NewVerifyingReader(object.Body, b.Digest, b.Size)
		bytes = make([]byte, b.Size)
		if err := readWhole(body, bytes); err != nil {
			if errors.Is(err, ErrDigestMismatch) {
				s.suspect(b.Object(), err)
				return nil, fmt.Errorf("%w: %w", ErrObjectCorrupt, err)
			}
			return nil, fmt.Errorf("%w: reading %s: %w", ErrStoreUnavailable, b.Digest, err)
		}
		s.memory.keep(b.Digest, bytes)
	}
	return &Content{Blob: b, Length: length, Bytes: bytes[offset : offset+length : offset+length]}, nil
}

// readWhole fills buf, which is as long as the body, and sees the body's verdict.
func readWhole(body *VerifyingReader, buf []byte) error {
	if len(buf) == 0 {
		var none [1]byte // an empty body is judged by a read that asks for something
		if _, err := body.Read(none[:]); err != io.EOF {
			return err
		}
		return nil
	}
	_, err := io.ReadFull(body, buf)
	return err
}

// openObject opens a blob's object. Where the row turns out to be out of date it
// asks the index once more, and where the row is right and the object is not, it
// marks the blob suspect.
func (s *Store) openObject(ctx context.Context, b Blob, offset, length int64) (Object, Blob, error) {
	object, err := s.objects.Open(ctx, b.Object(), offset, length)
	if errors.Is(err, ErrObjectMissing) {
		stale := b
		if b, err = s.refetch(ctx, b.Digest); err != nil {
			return Object{}, b, err
		}
		// Asked again even for the same generation: it may have come in between.
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
	if errors.Is(err, ErrRangeNotSatisfiable) || err == nil && object.Size != b.Size {
		// The range lies within the blob, so the object is too short.
		wrong := fmt.Errorf("%w: %s should have %d bytes", ErrObjectCorrupt, b.Object().Key(), b.Size)
		if err == nil {
			wrong = fmt.Errorf("%w, and has %d", wrong, object.Size)
			object.Body.Close()
		}
		s.suspect(b.Object(), wrong)
		return Object{}, b, wrong
	}
	return object, b, err
}

// refetch asks the index itself, past anything it remembers.
func (s *Store) refetch(ctx context.Context, d Digest) (Blob, error) {
	s.forget(d)
	return s.index.Blob(ctx, d)
}

// forget makes the next look-up of a blob ask the index itself.
func (s *Store) forget(d Digest) {
	if f, ok := s.index.(Forgetter); ok {
		f.Forget(d)
	}
}

// suspect records that an object was found damaged. The reader's own error goes
// to the reader; what fails here is logged, and the next read finds it again.
func (s *Store) suspect(ref ObjectRef, cause error) {
	s.memory.forgetVerified(ref)
	s.log.Error().Err(cause).Str("digest", ref.Digest.String()).Str("object", ref.Key()).
		Msg("object is missing or damaged; uploading the blob again mends it")
	ctx, cancel := context.WithTimeout(context.Background(), bookkeepingTimeout)
	defer cancel()
	if err := s.index.Suspect(ctx, ref); err != nil {
		s.log.Error().Err(err).Str("digest", ref.Digest.String()).Msg("could not mark the blob suspect")
	}
}

// verifiedBody streams a whole object and tells the store what came of it.
type verifiedBody struct {
	*VerifyingReader
	io.Closer
	store *Store
	ref   ObjectRef
	done  bool
}

func (v *verifiedBody) Read(p []byte) (int, error) {
	n, err := v.VerifyingReader.Read(p)
	if err == nil || v.done {
		return n, err
	}
	v.done = true
	switch {
	case err == io.EOF:
		v.store.memory.setVerified(v.ref)
	case errors.Is(err, ErrDigestMismatch):
		v.store.suspect(v.ref, err)
		err = fmt.Errorf("%w: %w", ErrObjectCorrupt, err)
	}
	return n, err
}
