package cas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/singleflight"
)

// FileIndex keeps the rows of files. Index drivers implement it; index/indextest is
// their conformance kit. Each method is atomic, and all times go by the database's
// clock. A file that has expired is as if it were deleted, for every method but
// ExpireFiles.
//
// Errors that are nobody's fault but the database's wrap ErrIndexUnavailable; after
// one of those a write may or may not have been applied. Where a file is named that
// isn't there, errors wrap ErrFileNotFound.
type FileIndex interface {
	// CreateFile stores a new file. Its blob must be visible to readers, else the error
	// wraps ErrBlobNotFound; from then on, until the file is deleted, the blob can't be
	// condemned without force. With unique the error wraps ErrDuplicateFile where
	// another file refers to the same blob, and that file, the oldest, is returned.
	// f.CreatedAt is ignored; f.ExpiresAt must lie ahead, else the error is an
	// *InvalidField. Creating the same id again returns the file that is there.
	CreateFile(ctx context.Context, f File, unique bool) (File, error)

	// CommitFile is Index.Commit and CreateFile of a file of that blob in one. Where the
	// commit leaves no live row there is no file, which is then zero. Where the file is
	// refused, the error says why, and the blob is committed all the same.
	CommitFile(ctx context.Context, b Blob, f File, unique bool) (row Blob, created bool, file File, err error)

	// File returns the file.
	File(ctx context.Context, id string) (File, error)

	// ListFiles returns files in the order of creation, at most q.Limit of them.
	ListFiles(ctx context.Context, q FileQuery) ([]File, error)

	// DeleteFile removes the file and returns it as it was. Its blob stays.
	DeleteFile(ctx context.Context, id string) (File, error)

	// ReleaseFile removes the file, and condemns its blob where no other file refers to
	// it, both or neither. It returns the file as it was, and whether the blob was
	// condemned.
	ReleaseFile(ctx context.Context, id string) (f File, condemned bool, err error)

	// TouchFiles records when files were last read; times that are earlier than what is
	// known change nothing, and neither do files that aren't there.
	TouchFiles(ctx context.Context, read map[string]time.Time) error

	// ExpireFiles removes files that have expired, the longest expired first, at most
	// limit of them, and returns them.
	ExpireFiles(ctx context.Context, limit int) ([]File, error)

	// ImportFiles stores files that have an Origin and no digest. Those whose ids are
	// there already are left as they are. CreatedAt is kept. It returns the ids of
	// those it stored.
	ImportFiles(ctx context.Context, files []File) (stored []string, err error)

	// ResolveFile gives a pending file its blob, which must be visible to readers
	// (ErrBlobNotFound), with its size, and its media type where the file has none. A
	// file that has a blob already is left as it is. It returns the file as it then is.
	ResolveFile(ctx context.Context, id string, blob Blob) (File, error)

	// CommitResolved is Index.Commit and ResolveFile with that blob in one. Where the
	// blob is committed and the file can't be resolved, row is set and the error is that
	// of ResolveFile. Where the row isn't live, or of another size, the file is left as
	// it is, and returned empty.
	CommitResolved(ctx context.Context, b Blob, id string) (row Blob, created bool, file File, err error)

	// FailFile notes why a pending file's bytes could not be taken in. Any other file
	// is left alone.
	FailFile(ctx context.Context, id, reason string) error
}

// FileQuery selects a page of files. The zero value of each filter means no
// filter.
type FileQuery struct {
	Limit      int // at least 1
	After      FileCursor
	Descending bool // newest first
	Purpose    string
	Context    string
	Tag        string
	NamePrefix string
	Digest     Digest
	// Metadata is a JSON object that a file's metadata must contain, as Postgres's
	// operator @> has it.
	Metadata json.RawMessage
	// Pending selects files whose bytes have not been taken in.
	Pending bool
}

// Check returns an error for a query that can't be answered.
func (q FileQuery) Check() error {
	if q.Limit < 1 {
		return fmt.Errorf("a limit of %d; it must be at least 1", q.Limit)
	}
	if err := CheckText("id", q.After.ID); err != nil {
		return &InvalidField{"after", "has an " + err.Error()}
	}
	if len(q.Metadata) > 0 {
		return CheckMetadata(q.Metadata)
	}
	return nil
}

// CanMatch reports whether any file can match the query: none can if a filter has a
// text that can't be stored.
func (q FileQuery) CanMatch() bool {
	for _, text := range []string{q.Purpose, q.Context, q.Tag, q.NamePrefix} {
		if CheckText("filter", text) != nil {
			return false
		}
	}
	return true
}

// FileCursor is a place in a listing: just behind the file with this creation time
// and id. Zero means the beginning.
type FileCursor struct {
	CreatedAt time.Time
	ID        string
}

// Cursor returns the place just behind the file.
func (f File) Cursor() FileCursor { return FileCursor{f.CreatedAt, f.ID} }

// Source is where the bytes of imported files lie: a bucket or a folder.
type Source interface {
	// Name tells sources apart.
	Name() string
	// Open starts a read of the whole object. One that isn't there is ErrObjectMissing;
	// all other errors wrap ErrOriginUnavailable. The caller closes the body.
	Open(ctx context.Context, key string) (Object, error)
}

// Files are named references to the blobs of a Store. It is safe for concurrent
// use.
type Files struct {
	FileIndex
	store   *Store
	sources map[string]Source
	log     zerolog.Logger
	flights singleflight.Group

	mu   sync.Mutex
	read map[string]time.Time // by id, not written yet
	// adopt is told of a file whose bytes were just taken in.
	adopt   func(context.Context, File) error
	tookIn  func(File, time.Time, error)
	expired func(File)
}

// FilesOptions configures Files.
type FilesOptions struct {
	Store *Store
	Index FileIndex
	// Sources are where the bytes of imported files may lie.
	Sources []Source
	// Adopt is told of each imported file once its bytes have been taken in, so that
	// the copy the old manager has noted can be entered into the ledger. Nil: nobody is.
	Adopt func(context.Context, File) error
	// TookIn is told of each imported file whose turn came, when that was, and why its
	// bytes could not be taken in, where that is so. Nil: nobody is.
	TookIn func(f File, began time.Time, err error)
	// Expired is told of each file that Run has removed. Nil: nobody is.
	Expired func(File)
	Log     zerolog.Logger
}

// NewFiles puts Files together.
func NewFiles(o FilesOptions) *Files {
	f := &Files{
		FileIndex: o.Index, store: o.Store, log: o.Log, adopt: o.Adopt, tookIn: o.TookIn, expired: o.Expired,
		sources: make(map[string]Source), read: make(map[string]time.Time),
	}
	for _, s := range o.Sources {
		f.sources[s.Name()] = s
	}
	if f.tookIn == nil {
		f.tookIn = func(File, time.Time, error) {}
	}
	if f.expired == nil {
		f.expired = func(File) {}
	}
	return f
}

// Bytes returns the file and its blob, taking the bytes of an imported file in
// where that hasn't been done yet. Errors: ErrFileNotFound, those of TakeIn and of
// Store.Blob.
func (f *Files) Bytes(ctx context.Context, id string) (File, Blob, error) {
	file, err := f.File(ctx, id)
	if err != nil {
		return File{}, Blob{}, err
	}
	if file.IsPending() {
		if file, _, err = f.TakeIn(ctx, file); err != nil {
			return File{}, Blob{}, err
		}
	}
	blob, err := f.store.Blob(ctx, file.Digest)
	if err != nil {
		return File{}, Blob{}, fmt.Errorf("file %s: %w", id, err)
	}
	f.mu.Lock()
	f.read[id] = time.Now()
	f.mu.Unlock()
	return file, blob, nil
}

// ReleaseFile is described at FileIndex. When it returns, a blob that it has
// condemned is forgotten here.
func (f *Files) ReleaseFile(ctx context.Context, id string) (released File, condemned bool, err error) {
	// The change may have been made although the index failed, and then only this tells
	// which blob to forget.
	before, err := f.File(ctx, id)
	if err != nil {
		return File{}, false, err
	}
	f.store.forget(before.Digest)
	defer f.store.forget(before.Digest)
	released, condemned, err = f.FileIndex.ReleaseFile(ctx, id)
	if released.Digest != before.Digest { // its bytes were taken in just now
		f.store.forget(released.Digest)
	}
	return released, condemned, err
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

const (
	// expireEvery is how often files that have expired are removed, and expireBatch how
	// many at a time; readFlush is how often the last reads are written.
	expireEvery = time.Minute
	expireBatch = 1000
	readFlush   = 30 * time.Second
)

// Run removes files that have expired and writes down when files were last read,
// until ctx is done; it returns ctx's error. Any number of processes may do so.
func (f *Files) Run(ctx context.Context) error {
	expire, flush := time.NewTicker(expireEvery), time.NewTicker(readFlush)
	defer expire.Stop()
	defer flush.Stop()
	f.expire(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
			defer cancel()
			f.flushReads(last)
			return ctx.Err()
		case <-expire.C:
			f.expire(ctx)
		case <-flush.C:
			f.flushReads(ctx)
		}
	}
}

func (f *Files) expire(ctx context.Context) {
	for {
		gone, err := f.ExpireFiles(ctx, expireBatch)
		if err != nil {
			if ctx.Err() == nil {
				f.log.Warn().Err(err).Msg("could not remove files that have expired; trying again")
			}
			return
		}
		for _, file := range gone {
			f.expired(file)
		}
		if len(gone) > 0 {
			f.log.Info().Int("files", len(gone)).Msg("removed files that have expired")
		}
		if len(gone) < expireBatch {
			return
		}
	}
}

// flushReads writes when files were last read. What can't be written is dropped: it
// is a hint.
func (f *Files) flushReads(ctx context.Context) {
	f.mu.Lock()
	read := f.read
	f.read = make(map[string]time.Time)
	f.mu.Unlock()
	if len(read) == 0 {
		return
	}
	if err := f.TouchFiles(ctx, read); err != nil {
		f.log.Warn().Err(err).Int("files", len(read)).Msg("could not write when files were last read")
	}
}
