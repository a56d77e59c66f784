package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Source holds the bytes of imported files: a bucket or a folder.
type Source interface {
	// Name identifies the source.
	Name() string
	// Open starts a read of the whole object. The error wraps ErrObjectMissing if there
	// is no such object, and ErrOriginUnavailable otherwise. The caller closes the body.
	Open(ctx context.Context, key string) (Object, error)
}

// TakeIn reads the bytes of a pending file from its source, stores them as a blob, and
// returns the file with that blob. Concurrent calls for one file, in this process and
// in others, are safe: the first sets the blob, the others change nothing. The bytes
// must have the digest that the old manager recorded or, without one, the recorded
// size. Stored reports whether the bytes were new to the store.
//
// Errors: ErrObjectMissing, ErrOriginUnavailable, ErrDigestMismatch if the bytes differ
// from the record, and those of Store.Put. TakeIn records an error with the file if the
// file is the cause, but not if a server is.
func (f *Files) TakeIn(ctx context.Context, file File) (taken File, stored bool, err error) {
	if !file.IsPending() {
		return file, false, nil
	}
	done := f.flights.DoChan(file.ID, func() (any, error) {
		// The first caller may leave while others still wait.
		began, tried := time.Now(), file
		outcome, err := f.takeIn(context.WithoutCancel(ctx), file)
		if err == nil {
			tried = outcome.file
		}
		f.tookIn(tried, began, err)
		return outcome, err
	})
	select {
	case result := <-done:
		outcome, _ := result.Val.(takenIn)
		return outcome.file, outcome.stored, result.Err
	case <-ctx.Done():
		return File{}, false, fmt.Errorf("take in file %s: %w", file.ID, context.Cause(ctx))
	}
}

// takenIn is the result of taking a file's bytes in.
type takenIn struct {
	file   File // still pending if the blob existed already
	blob   Blob
	stored bool // the origin brought the bytes
}

func (f *Files) takeIn(ctx context.Context, file File) (takenIn, error) {
	taken, err := f.storeOrigin(ctx, file)
	if err == nil {
		if taken.file.IsPending() {
			if taken.file, err = f.ResolveFile(ctx, file.ID, taken.blob); err != nil {
				return takenIn{}, err
			}
		}
		if f.adopt != nil {
			if err := f.adopt(ctx, taken.file); err != nil {
				f.log.Warn().Err(err).Str("file", file.ID).Msg("could not enter the copy that the old manager recorded; a new copy is made when one is needed")
			}
		}
		return taken, nil
	}
	if errors.Is(err, ErrObjectMissing) || errors.Is(err, ErrDigestMismatch) || errors.Is(err, ErrBlobTooLarge) {
		if recordErr := f.FailFile(ctx, file.ID, err.Error()); recordErr != nil {
			f.log.Warn().Err(recordErr).Str("file", file.ID).Msg("could not record why a file can't be taken in")
		}
	}
	return takenIn{}, fmt.Errorf("take in file %s: %w", file.ID, err)
}

// storeOrigin stores a pending file's bytes. New bytes are committed together with the
// file: one round trip to the index does both.
func (f *Files) storeOrigin(ctx context.Context, file File) (takenIn, error) {
	source, ok := f.sources[file.Origin.Source]
	if !ok {
		return takenIn{}, fmt.Errorf("%w: the file is in %s, which isn't configured (see CAS_SOURCE_DIR and CAS_SOURCE_S3_ENDPOINT)", ErrOriginUnavailable, file.Origin.Source)
	}
	object, err := source.Open(ctx, file.Origin.Key)
	if err != nil {
		return takenIn{}, err
	}
	defer object.Body.Close()
	recorded := file.Origin.Digest
	if recorded.IsZero() && file.Size >= 0 && file.Size != object.Size {
		return takenIn{}, fmt.Errorf("%w: %q has %d bytes, but the old manager recorded %d", ErrDigestMismatch, file.Origin.Key, object.Size, file.Size)
	}
	body := &sourceBody{src: object.Body}
	// The recorded digest is checked here. Given the digest, Put would not read the bytes
	// of a blob that exists.
	var bytes io.Reader = body
	if !recorded.IsZero() {
		bytes = NewVerifyingReader(body, recorded, object.Size)
	}
	var taken takenIn
	u := Upload{Body: bytes, Size: object.Size, MediaType: file.MediaType, Name: file.Name}
	u = u.forFile(func(commit context.Context, b Blob) (Blob, bool, error) {
		done, err := f.CommitResolved(commit, b, file.ID)
		taken.file = done.File
		if done.Row.Digest == b.Digest {
			f.store.committed(done.Row)
		}
		return done.Row, done.Created, err
	})
	taken.blob, taken.stored, err = f.store.Put(ctx, u)
	if body.err != nil {
		return takenIn{}, fmt.Errorf("%w: read %q: %v", ErrOriginUnavailable, file.Origin.Key, body.err)
	}
	return taken, err
}

// sourceBody keeps the source's error.
type sourceBody struct {
	src io.Reader
	err error
}

func (s *sourceBody) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
