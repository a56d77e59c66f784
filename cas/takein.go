package cas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Source is where the bytes of imported files lie: a bucket or a folder.
type Source interface {
	// Name tells sources apart.
	Name() string
	// Open starts a read of the whole object. One that isn't there is ErrObjectMissing;
	// all other errors wrap ErrOriginUnavailable. The caller closes the body.
	Open(ctx context.Context, key string) (Object, error)
}

// TakeIn reads the bytes of a pending file where they lie, stores them as a blob,
// and returns the file with it. It may be called for the same file at the same
// time, here and in other processes; whoever comes second changes nothing. What the
// old manager noted must hold: the digest where there is one, else the size. Stored
// reports whether the store didn't have these bytes before.
//
// Errors: ErrObjectMissing, ErrOriginUnavailable, ErrDigestMismatch where the bytes
// are not those noted, and those of Store.Put. Whatever lies with the file rather
// than with a server is noted with it.
func (f *Files) TakeIn(ctx context.Context, file File) (taken File, stored bool, err error) {
	if !file.IsPending() {
		return file, false, nil
	}
	done := f.flights.DoChan(file.ID, func() (any, error) {
		// The first caller may leave while others still wait.
		began, told := time.Now(), file
		outcome, err := f.takeIn(context.WithoutCancel(ctx), file)
		if err == nil {
			told = outcome.file
		}
		f.tookIn(told, began, err)
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

// takenIn is what came of taking a file's bytes in.
type takenIn struct {
	file   File
	stored bool
}

func (f *Files) takeIn(ctx context.Context, file File) (takenIn, error) {
	taken, blob, stored, err := f.storeOrigin(ctx, file)
	if err == nil {
		if taken.IsPending() { // the bytes were there
			if taken, err = f.ResolveFile(ctx, file.ID, blob); err != nil {
				return takenIn{}, err
			}
		}
		if f.adopt != nil {
			if err := f.adopt(ctx, taken); err != nil {
				f.log.Warn().Err(err).Str("file", file.ID).Msg("could not enter the copy that the old manager has noted; it is made anew when it is needed")
			}
		}
		return takenIn{taken, stored}, nil
	}
	if errors.Is(err, ErrObjectMissing) || errors.Is(err, ErrDigestMismatch) || errors.Is(err, ErrBlobTooLarge) {
		if noteErr := f.FailFile(ctx, file.ID, err.Error()); noteErr != nil {
			f.log.Warn().Err(noteErr).Str("file", file.ID).Msg("could not note why a file can't be taken in")
		}
	}
	return takenIn{}, fmt.Errorf("take in file %s: %w", file.ID, err)
}

// storeOrigin stores a pending file's bytes. Bytes that are new are committed together
// with the file, which is then taken: that takes as long as one of them.
func (f *Files) storeOrigin(ctx context.Context, file File) (taken File, b Blob, stored bool, err error) {
	source, ok := f.sources[file.Origin.Source]
	if !ok {
		return File{}, Blob{}, false, fmt.Errorf("%w: the file lies in %s, which isn't configured (see CAS_SOURCE_DIR and CAS_SOURCE_S3_ENDPOINT)", ErrOriginUnavailable, file.Origin.Source)
	}
	object, err := source.Open(ctx, file.Origin.Key)
	if err != nil {
		return File{}, Blob{}, false, err
	}
	defer object.Body.Close()
	noted := file.Origin.Digest
	if noted.IsZero() && file.Size >= 0 && file.Size != object.Size {
		return File{}, Blob{}, false, fmt.Errorf("%w: %d bytes lie at %q, and %d were noted", ErrDigestMismatch, object.Size, file.Origin.Key, file.Size)
	}
	body := &sourceBody{src: object.Body}
	// The digest noted is checked here and not given to Put, which would not read the
	// bytes of a blob that it has.
	var bytes io.Reader = body
	if !noted.IsZero() {
		bytes = NewVerifyingReader(body, noted, object.Size)
	}
	u := Upload{Body: bytes, Size: object.Size, MediaType: file.MediaType, Name: file.Name}
	u.commit = func(commit context.Context, b Blob) (Blob, bool, error) {
		row, created, resolved, err := f.CommitResolved(commit, b, file.ID)
		taken = resolved
		if row.Digest == b.Digest {
			f.store.committed(row)
		}
		return row, created, err
	}
	b, stored, err = f.store.Put(ctx, u)
	if body.err != nil {
		return File{}, Blob{}, false, fmt.Errorf("%w: read %q: %v", ErrOriginUnavailable, file.Origin.Key, body.err)
	}
	return taken, b, stored, err
}

// sourceBody keeps the error a source failed with.
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
