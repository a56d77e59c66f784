package cas

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

const (
	// commitTimeout limits a commit. A commit continues after the client has left: the
	// object is stored, and a row for it is worth more than none.
	commitTimeout = 15 * time.Second
	// commitAttempts limits how often an upload that meets deletions starts again.
	commitAttempts = 4
)

// Upload is a blob to store.
type Upload struct {
	Body io.Reader
	// Size is in bytes; -1 if it isn't known.
	Size int64
	// Digest is the digest that Body must have; nil if it isn't known.
	Digest *Digest
	// MediaType is the declared one. The bytes decide whether it can be true, see
	// RefineMediaType.
	MediaType string
	// Name becomes the blob's name if the blob has none yet.
	Name string
	// NameIfNew leaves a blob that exists without a name: the name was not given for the blob.
	NameIfNew bool

	file fileUpload
}

// fileUpload is what an upload has more if its bytes are for a file.
type fileUpload struct {
	// name is the file's. It decides between kinds of text, but does not become the
	// blob's name.
	name string
	// mediaType gets the media type of the bytes under that name.
	mediaType *string
	// commit replaces the index's Commit, see Files.Create.
	commit func(ctx context.Context, b Blob) (row Blob, created bool, err error)
}

// forFile returns the upload of a file's bytes. A name and a declared type belong to the
// file, and not to the blob, which may have other files too.
func (u Upload) forFile(commit func(ctx context.Context, b Blob) (Blob, bool, error)) Upload {
	u.file = fileUpload{name: u.Name, mediaType: new(string), commit: commit}
	u.Name, u.MediaType = "", ""
	return u
}

// mediaType returns the media type of the upload's bytes.
func (u Upload) mediaType(seen sniffed) string {
	mediaType := seen.mediaType(u.MediaType, u.typeName())
	if u.file.mediaType != nil {
		*u.file.mediaType = mediaType
	}
	return mediaType
}

// typeName returns the name that decides between kinds of text.
func (u Upload) typeName() string { return cmp.Or(u.file.name, u.Name) }

// Put stores a blob. Stored reports whether this upload brought the bytes. If the blob
// exists already, Put may not read Body. Nevertheless the blob's media type is corrected if
// the upload's declared type or name fits the stored bytes better, and a blob without a name
// gets the upload's.
//
// If Put returns no error, the blob is durable in the object store and committed in the
// index. Errors: ErrBlobTooLarge, ErrDigestMismatch, those of Body, ErrNoSpace,
// ErrSpoolUnusable, ErrIndexUnavailable, ErrStoreUnavailable, ErrUploadRaced. After an error the blob may
// exist nevertheless, since the last write may have been applied without its
// acknowledgement; the error then wraps ErrUnconfirmed if the object is stored. Repeating an upload is always safe.
func (s *Store) Put(ctx context.Context, u Upload) (b Blob, stored bool, err error) {
	body := &countingReader{src: u.Body}
	u.Body = body
	b, stored, err = s.put(ctx, u)
	switch {
	case err != nil || stored:
		return b, stored, err
	case body.n > 0:
		return s.fillName(ctx, b, u), false, nil
	case u.Size >= 0 && u.Size != b.Size:
		return Blob{}, false, fmt.Errorf("%w: the client declared %d bytes, which is not the size of %s", ErrDigestMismatch, u.Size, b.Digest)
	}
	return s.fillName(ctx, s.correctUnsent(ctx, b, u), u), false, nil
}

// put is Put, but does not compare the declared size with that of an existing blob.
func (s *Store) put(ctx context.Context, u Upload) (b Blob, stored bool, err error) {
	if u.Size > s.maxBlobSize {
		return Blob{}, false, tooLarge(s.maxBlobSize)
	}
	var row Blob
	if u.Digest != nil {
		if row, err = s.touch(ctx, *u.Digest); err != nil || row.State == StateLive {
			return row, false, err
		}
		// The collector may remove a condemned object during the upload. The bytes must then
		// be written again, so they are not streamed.
		if u.Size > SpoolMemory && row.State != StateCondemned {
			return s.putStreamed(ctx, u, row.NextObject())
		}
	}

	body, err := s.spool.take(u.Body, s.maxBlobSize)
	if err != nil {
		return Blob{}, false, err
	}
	defer body.Close()
	if err := checkBody(u, body.size, body.digest); err != nil {
		return Blob{}, false, err
	}
	if u.Digest == nil {
		if row, err = s.touch(ctx, body.digest); err != nil {
			return row, false, err
		}
		switch {
		case row.State == StateLive && row.Size != body.size:
			return Blob{}, false, s.wrongSize(row, body.size)
		case row.State == StateLive:
			return s.correctType(ctx, row, u, body.sniffed()), false, nil
		}
	}
	return s.putSpooled(ctx, u, row.NextObject(), body)
}

// PutVerified is Put for a client that must have the bytes: if the blob exists already
// and Put needed no byte of Body, PutVerified reads Body to its end and verifies it.
// Its error then wraps ErrDigestMismatch, or is Body's, and b is the existing blob. If
// these bytes show that the existing blob's media type is wrong or too general, the type
// is corrected. If the blob was deleted, or found damaged, while Body came, the error wraps ErrUploadRaced.
func (s *Store) PutVerified(ctx context.Context, u Upload) (b Blob, stored bool, err error) {
	began := time.Now()
	body := &countingReader{src: u.Body}
	u.Body = body
	b, stored, err = s.put(ctx, u)
	if err != nil || stored {
		return b, stored, err
	}
	if body.n == 0 {
		seen, err := s.verifyUnneeded(u, b)
		if err != nil {
			return b, false, err
		}
		if err := s.isStillLive(ctx, b, began); err != nil {
			return Blob{}, false, err
		}
		b = s.correctType(ctx, b, u, seen)
	}
	return s.fillName(ctx, b, u), false, nil
}

// touchAgain is how long a body may take before the index is asked again if its blob is still live.
// Before, what the gateway remembers is enough: usually it hears of changes in less time.
const touchAgain = time.Second

// isStillLive returns an error if a blob that was live when the upload began is not any more. The upload
// promises that the blob is there, and may be the very one that repairs it.
func (s *Store) isStillLive(ctx context.Context, b Blob, began time.Time) error {
	look := s.index.Blob
	if time.Since(began) > touchAgain {
		look = s.touch
	}
	row, err := look(ctx, b.Digest)
	switch {
	case errors.Is(err, ErrBlobNotFound) || err == nil && row.State != StateLive:
		return fmt.Errorf("%w: %s was deleted, or found damaged, while its bytes came; send them again", ErrUploadRaced, b.Digest)
	default:
		return err
	}
}

// verifyUnneeded reads and verifies a body whose blob exists. Its errors are those for a blob
// that doesn't exist: a client without the right bytes learns nothing from them.
func (s *Store) verifyUnneeded(u Upload, row Blob) (sniffed, error) {
	var seen sniffer
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(hash, &seen), io.LimitReader(u.Body, s.maxBlobSize+1))
	switch {
	case err != nil:
		return sniffed{}, err
	case n > s.maxBlobSize:
		return sniffed{}, tooLarge(s.maxBlobSize)
	}
	var got Digest
	hash.Sum(got[:0])
	if err := checkBody(u, n, got); err != nil {
		return sniffed{}, err
	}
	if n != row.Size {
		return sniffed{}, s.wrongSize(row, n)
	}
	return seen.sniffed(), nil
}

// checkBody compares the size and the digest of a body with those that the client declared.
func checkBody(u Upload, size int64, digest Digest) error {
	switch {
	case u.Size >= 0 && size != u.Size:
		return fmt.Errorf("%w: the body has %d bytes, but the client declared %d", ErrDigestMismatch, size, u.Size)
	case u.Digest != nil && digest != *u.Digest:
		return fmt.Errorf("%w: the bytes have digest %s, not %s", ErrDigestMismatch, digest, u.Digest)
	}
	return nil
}

// wrongSize returns the error for a row that has another size than the verified bytes. It
// marks the blob suspect, so the next upload corrects the row.
func (s *Store) wrongSize(row Blob, size int64) error {
	err := fmt.Errorf("%w: the index has %d bytes for %s, but it has %d; send it again", ErrObjectCorrupt, row.Size, row.Digest, size)
	s.suspect(row.Object(), err)
	return err
}

// correctUnsent is correctType for an upload that sent no bytes. It reads the beginning of
// the stored ones, but only if the upload says something else than the row.
func (s *Store) correctUnsent(ctx context.Context, row Blob, u Upload) Blob {
	said := baseType(cmp.Or(NormalMediaType(u.MediaType), textTypes[strings.ToLower(path.Ext(u.typeName()))]))
	if row.State != StateLive || row.Size == 0 || said == "" || said == baseType(row.MediaType) {
		return row
	}
	seen, err := s.sniffStored(ctx, row)
	if err != nil {
		s.log.Warn().Err(err).Stringer("digest", row.Digest).Msg("could not read the beginning of a blob, to correct its media type")
		return row
	}
	return s.correctType(ctx, row, u, seen)
}

// sniffStored sniffs a stored blob by its first bytes.
func (s *Store) sniffStored(ctx context.Context, row Blob) (sniffed, error) {
	head, err := s.head(ctx, row)
	if err != nil {
		return sniffed{}, err
	}
	_, parameters, err := mime.ParseMediaType(row.MediaType)
	// A row has charset=utf-8 only if the whole blob is UTF-8.
	isUTF8 := err == nil && strings.EqualFold(parameters["charset"], "utf-8") || int64(len(head)) == row.Size && utf8.Valid(head)
	return sniffed{format: mimetype.Detect(head), utf8: isUTF8}, nil
}

// head returns the first bytes of a blob, which decide its media type.
func (s *Store) head(ctx context.Context, b Blob) ([]byte, error) {
	content, err := s.Open(ctx, b, 0, min(b.Size, DetectLen))
	if err != nil {
		return nil, err
	}
	defer content.Close()
	if content.Body == nil {
		return content.Bytes, nil
	}
	return io.ReadAll(content.Body)
}

// correctType gives an existing blob the media type that an upload of the same bytes
// knows better, and returns the blob. A failure is logged only: the upload succeeded.
func (s *Store) correctType(ctx context.Context, row Blob, u Upload, seen sniffed) Blob {
	mediaType := seen.correct(row.MediaType, u.mediaType(seen))
	if mediaType == row.MediaType {
		return row
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	if err := s.index.SetMediaType(ctx, row.Digest, row.MediaType, mediaType); err != nil {
		s.log.Warn().Err(err).Stringer("digest", row.Digest).Str("media_type", mediaType).Msg("could not correct the media type of a blob")
		return row
	}
	row.MediaType = mediaType
	return row
}

// fillName gives an existing blob that has no name that of an upload of the same bytes, and
// returns the blob with the name that it has then. A failure is logged only: the upload
// succeeded.
func (s *Store) fillName(ctx context.Context, row Blob, u Upload) Blob {
	if row.State != StateLive || row.Name != "" || u.Name == "" || u.NameIfNew {
		return row
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	err := s.index.FillName(ctx, row.Digest, u.Name)
	var named Blob
	if err == nil {
		named, err = s.index.Blob(ctx, row.Digest) // another upload may have been first
	}
	if err != nil {
		s.log.Warn().Err(err).Stringer("digest", row.Digest).Msg("could not give a blob its name")
		return row
	}
	row.Name = named.Name
	return row
}

// countingReader counts the bytes that are read from src.
type countingReader struct {
	src io.Reader
	n   int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	r.n += int64(n)
	return n, err
}

// touch asks the index for the row of an upload. Without a row it returns one that
// means: write generation 0.
func (s *Store) touch(ctx context.Context, d Digest) (Blob, error) {
	row, err := s.index.Touch(ctx, d)
	switch {
	case errors.Is(err, ErrBlobNotFound):
		return Blob{Digest: d}, nil
	case err != nil:
		return Blob{}, err
	}
	return s.look(ctx, row)
}

// look makes sure that the object of a live row is there, unless it was seen recently. If
// the object is missing, or its size or checksum is wrong, look marks the blob suspect
// and returns it so.
func (s *Store) look(ctx context.Context, row Blob) (Blob, error) {
	ref := row.Object()
	if row.State != StateLive || s.memory.isSeen(ref) {
		return row, nil
	}
	stat, err := s.objects.Stat(ctx, ref)
	if err == nil && (stat.Size != row.Size || !stat.Digest.IsZero() && stat.Digest != row.Digest) {
		err = fmt.Errorf("%w: %s has %d bytes and checksum %s, but should have %d", ErrObjectCorrupt, ref.Key(), stat.Size, stat.Digest, row.Size)
	}
	switch {
	case err == nil:
		s.memory.setSeen(ref)
	case errors.Is(err, ErrObjectMissing) || errors.Is(err, ErrObjectCorrupt):
		s.suspect(ref, err)
		row.State = StateSuspect
	default:
		return Blob{}, err
	}
	return row, nil
}

// putStreamed streams the body to the object store. It can't be repeated.
func (s *Store) putStreamed(ctx context.Context, u Upload, target ObjectRef) (Blob, bool, error) {
	var seen sniffer
	body := NewVerifyingReader(io.TeeReader(u.Body, &seen), *u.Digest, u.Size)
	if err := s.putObject(ctx, target, body); err != nil {
		return Blob{}, false, err
	}
	row, created, err := s.commit(ctx, u, target, u.Size, seen.sniffed())
	if err != nil {
		return Blob{}, false, err
	}
	if row.State != StateLive {
		return Blob{}, false, fmt.Errorf("%w: %s was removed during the upload; send it again", ErrUploadRaced, u.Digest)
	}
	return row, created, nil
}

// putSpooled writes a body that can be read again. If the collector is removing the
// target generation, putSpooled writes a higher one.
func (s *Store) putSpooled(ctx context.Context, u Upload, target ObjectRef, body *spooled) (Blob, bool, error) {
	for range commitAttempts {
		err := s.putObject(ctx, target, NewVerifyingReader(body.reader(), body.digest, body.size))
		if err != nil {
			return Blob{}, false, err
		}
		row, created, err := s.commit(ctx, u, target, body.size, body.sniffed())
		if err != nil {
			return Blob{}, false, err
		}
		if row.State == StateLive {
			return row, created, nil
		}
		target = row.NextObject()
	}
	return Blob{}, false, fmt.Errorf("%w: %s was removed again and again during the upload; send it again", ErrUploadRaced, body.digest)
}

// putObject writes an object. If the body failed, putObject returns the body's own
// error, not the error that the object store's client made of it.
func (s *Store) putObject(ctx context.Context, target ObjectRef, body *VerifyingReader) error {
	err := s.objects.Put(ctx, target, body)
	if err != nil && body.Err() != nil {
		return body.Err()
	}
	return err
}

// commit records a stored object, even if the client has left.
func (s *Store) commit(ctx context.Context, u Upload, target ObjectRef, size int64, seen sniffed) (Blob, bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	commit := s.index.Commit
	if u.file.commit != nil {
		commit = u.file.commit
	}
	row, created, err := commit(ctx, Blob{
		Digest:     target.Digest,
		Generation: target.Generation,
		Size:       size,
		MediaType:  u.mediaType(seen),
		Name:       u.Name,
	})
	switch {
	case errors.Is(err, ErrIndexUnavailable), errors.Is(err, ErrNoSpace):
		err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	case err != nil:
	case row.Supersedes(target):
		// The collector may have removed this generation before the upload wrote it.
		s.removeSuperseded(ctx, target)
	case created && target.Generation > 0:
		// The collector has begun to remove this generation. If it died there, the new row no
		// longer says so.
		s.removeSuperseded(ctx, ObjectRef{target.Digest, target.Generation - 1})
	}
	if err == nil && row.State == StateLive && row.Size != size {
		err = s.wrongSize(row, size)
	}
	if err == nil && row.State == StateLive && row.Object() == target {
		s.memory.setSeen(target)
	}
	if err == nil && row.State == StateLive {
		row = s.correctType(ctx, row, u, seen)
	}
	return row, created, err
}

// removeSuperseded removes an object of a generation that no row names any more. If it
// fails, the object stays.
func (s *Store) removeSuperseded(ctx context.Context, ref ObjectRef) {
	if err := s.objects.Delete(ctx, ref); err != nil {
		s.log.Warn().Err(err).Str("object", ref.Key()).Msg("could not remove an object of an older generation")
	}
}
