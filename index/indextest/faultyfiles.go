package indextest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"casgate/cas"
)

// The operations that a FaultyFiles asks its hook about.
const (
	OpCreateFile   = "create-file"
	OpCommitFile   = "commit-file"
	OpFile         = "file"
	OpListFiles    = "list-files"
	OpDeleteFile   = "delete-file"
	OpReleaseFile  = "release-file"
	OpTouchFiles   = "touch-files"
	OpProlong      = "prolong-files"
	OpExpireFiles  = "expire-files"
	OpImportFiles  = "import-files"
	OpKnownImports = "known-imports"
	OpResolveFile  = "resolve-file"
	OpFailFile     = "fail-file"

	OpCommitResolved = "commit-resolved"
	OpKeepUpload     = "keep-upload"
	OpKeyUse         = "key-use"
)

// FaultyFiles is an index of files whose calls fail as its hook says, see Faulty. The
// hook's digest is that of the file to create or the blob to resolve with, and zero
// for all else.
type FaultyFiles struct {
	inner cas.FileIndex
	hook  Hook
}

var _ cas.FileIndex = (*FaultyFiles)(nil)

// NewFaultyFiles wraps an index of files. The hook is called from the caller's
// goroutine.
func NewFaultyFiles(inner cas.FileIndex, hook Hook) *FaultyFiles {
	return &FaultyFiles{inner: inner, hook: hook}
}

// passFiles makes a call as the hook says; where it says that the call fails, all
// that the caller gets is the error.
func passFiles[T any](f *FaultyFiles, op string, d cas.Digest, call func() (T, error)) (T, error) {
	apply, err := f.hook(op, d)
	if err == nil {
		return call()
	}
	if apply {
		_, _ = call() // its reply is lost
	}
	var none T
	return none, err
}

// CreateFile implements cas.FileIndex.
func (f *FaultyFiles) CreateFile(ctx context.Context, n cas.NewFile) (cas.File, error) {
	return passFiles(f, OpCreateFile, n.Digest, func() (cas.File, error) { return f.inner.CreateFile(ctx, n) })
}

// CommitFile implements cas.FileIndex.
func (f *FaultyFiles) CommitFile(ctx context.Context, b cas.Blob, n cas.NewFile) (cas.FileCommit, error) {
	return passFiles(f, OpCommitFile, b.Digest, func() (cas.FileCommit, error) { return f.inner.CommitFile(ctx, b, n) })
}

// KeepUpload implements cas.FileIndex.
func (f *FaultyFiles) KeepUpload(ctx context.Context, key cas.IdempotencyKey, u cas.KeptUpload) (bool, error) {
	return passFiles(f, OpKeepUpload, u.Digest, func() (bool, error) { return f.inner.KeepUpload(ctx, key, u) })
}

// KeyUse implements cas.FileIndex.
func (f *FaultyFiles) KeyUse(ctx context.Context, id [sha256.Size]byte) (*cas.KeyUse, error) {
	return passFiles(f, OpKeyUse, cas.Digest{}, func() (*cas.KeyUse, error) { return f.inner.KeyUse(ctx, id) })
}

// File implements cas.FileIndex.
func (f *FaultyFiles) File(ctx context.Context, id string) (cas.File, error) {
	return passFiles(f, OpFile, cas.Digest{}, func() (cas.File, error) { return f.inner.File(ctx, id) })
}

// ListFiles implements cas.FileIndex.
func (f *FaultyFiles) ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error) {
	return passFiles(f, OpListFiles, cas.Digest{}, func() ([]cas.File, error) { return f.inner.ListFiles(ctx, q) })
}

// DeleteFile implements cas.FileIndex.
func (f *FaultyFiles) DeleteFile(ctx context.Context, id string) (cas.File, error) {
	return passFiles(f, OpDeleteFile, cas.Digest{}, func() (cas.File, error) { return f.inner.DeleteFile(ctx, id) })
}

// ReleaseFile implements cas.FileIndex.
func (f *FaultyFiles) ReleaseFile(ctx context.Context, id string) (file cas.File, condemned bool, err error) {
	file, err = passFiles(f, OpReleaseFile, cas.Digest{}, func() (cas.File, error) {
		released, last, err := f.inner.ReleaseFile(ctx, id)
		condemned = last
		return released, err
	})
	return file, condemned && err == nil, err
}

// FilePosition implements cas.FileIndex.
func (f *FaultyFiles) FilePosition(ctx context.Context, id string) (cas.FileCursor, error) {
	return passFiles(f, OpFile, cas.Digest{}, func() (cas.FileCursor, error) { return f.inner.FilePosition(ctx, id) })
}

// TouchFiles implements cas.FileIndex.
func (f *FaultyFiles) TouchFiles(ctx context.Context, read map[string]time.Time) error {
	_, err := passFiles(f, OpTouchFiles, cas.Digest{}, func() (struct{}, error) { return struct{}{}, f.inner.TouchFiles(ctx, read) })
	return err
}

// ProlongFiles implements cas.FileIndex.
func (f *FaultyFiles) ProlongFiles(ctx context.Context, until map[string]time.Time) error {
	_, err := passFiles(f, OpProlong, cas.Digest{}, func() (struct{}, error) { return struct{}{}, f.inner.ProlongFiles(ctx, until) })
	return err
}

// ExpireFiles implements cas.FileIndex.
func (f *FaultyFiles) ExpireFiles(ctx context.Context, limit int) ([]cas.ExpiredFile, error) {
	return passFiles(f, OpExpireFiles, cas.Digest{}, func() ([]cas.ExpiredFile, error) { return f.inner.ExpireFiles(ctx, limit) })
}

// ImportFiles implements cas.FileIndex.
func (f *FaultyFiles) ImportFiles(ctx context.Context, files []cas.File, o cas.ImportFilesOptions) ([]string, error) {
	return passFiles(f, OpImportFiles, cas.Digest{}, func() ([]string, error) { return f.inner.ImportFiles(ctx, files, o) })
}

// KnownImports implements cas.FileIndex.
func (f *FaultyFiles) KnownImports(ctx context.Context, ids []string, o cas.ImportFilesOptions) ([]string, error) {
	return passFiles(f, OpKnownImports, cas.Digest{}, func() ([]string, error) { return f.inner.KnownImports(ctx, ids, o) })
}

// ResolveFile implements cas.FileIndex.
func (f *FaultyFiles) ResolveFile(ctx context.Context, id string, blob cas.Blob) (cas.File, error) {
	return passFiles(f, OpResolveFile, blob.Digest, func() (cas.File, error) { return f.inner.ResolveFile(ctx, id, blob) })
}

// CommitResolved implements cas.FileIndex.
func (f *FaultyFiles) CommitResolved(ctx context.Context, b cas.Blob, id string) (cas.FileCommit, error) {
	return passFiles(f, OpCommitResolved, b.Digest, func() (cas.FileCommit, error) { return f.inner.CommitResolved(ctx, b, id) })
}

// FailFile implements cas.FileIndex.
func (f *FaultyFiles) FailFile(ctx context.Context, id, reason string) error {
	_, err := passFiles(f, OpFailFile, cas.Digest{}, func() (struct{}, error) { return struct{}{}, f.inner.FailFile(ctx, id, reason) })
	return err
}

// lostReply is a write of which the reply is lost, or the request, and which is then
// made again: the outcome must be that of one. Before is called on the index as it
// is, and after when the write has been made again.
type lostReply struct {
	before func(t *testing.T, x Index, d cas.Digest)
	write  func(ctx context.Context, t *testing.T, x cas.FileIndex, d cas.Digest) error
	// again is the error of the second write if the first one was applied; nil by
	// default.
	again error
	after func(t *testing.T, x Index, d cas.Digest)
}

// filesLostReplyTests make each write fail in both ways.
var filesLostReplyTests = func() []test {
	writes := map[string]lostReply{
		"CreateFile": {
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, d cas.Digest) error {
				_, err := x.CreateFile(ctx, cas.NewFile{File: fileOf(t, 1, d), Unique: true})
				return err
			},
			after: func(t *testing.T, x Index, d cas.Digest) {
				inUse(t, x, d)
				deleteFile(t, x, fileID(t, 1))
				condemn(t, x, d)
			},
		},
		"CommitFile": {
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, d cas.Digest) error {
				_, err := x.CommitFile(ctx, blob(d, 0), cas.NewFile{File: fileOf(t, 1, d), Unique: true})
				return err
			},
			after: func(t *testing.T, x Index, d cas.Digest) {
				inUse(t, x, d)
				deleteFile(t, x, fileID(t, 1))
				condemn(t, x, d)
			},
		},
		"DeleteFile": {
			before: func(t *testing.T, x Index, d cas.Digest) {
				createFile(t, x, fileOf(t, 1, d))
				createFile(t, x, fileOf(t, 2, d))
			},
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, _ cas.Digest) error {
				_, err := x.DeleteFile(ctx, fileID(t, 1))
				return err
			},
			again: cas.ErrFileNotFound,
			after: func(t *testing.T, x Index, d cas.Digest) {
				inUse(t, x, d)
				deleteFile(t, x, fileID(t, 2))
				condemn(t, x, d)
			},
		},
		"ReleaseFile": {
			before: func(t *testing.T, x Index, d cas.Digest) { createFile(t, x, fileOf(t, 1, d)) },
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, _ cas.Digest) error {
				_, _, err := x.ReleaseFile(ctx, fileID(t, 1))
				return err
			},
			again: cas.ErrFileNotFound,
			after: func(t *testing.T, x Index, d cas.Digest) { expect(t, x, d, cas.StateCondemned, 0) },
		},
		"TouchFiles": {
			before: func(t *testing.T, x Index, d cas.Digest) { createFile(t, x, fileOf(t, 1, d)) },
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, _ cas.Digest) error {
				return x.TouchFiles(ctx, map[string]time.Time{fileID(t, 1): time.Unix(2_000_000_000, 0)})
			},
			after: func(t *testing.T, x Index, _ cas.Digest) {
				if at := getFile(t, x, fileID(t, 1)).AccessedAt; !at.Equal(time.Unix(2_000_000_000, 0)) {
					t.Errorf("read at %s", at)
				}
			},
		},
		"ProlongFiles": {
			before: func(t *testing.T, x Index, d cas.Digest) {
				f := fileOf(t, 1, d)
				f.ExpiresAt = time.Unix(2_000_000_000, 0)
				createFile(t, x, f)
			},
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, _ cas.Digest) error {
				return x.ProlongFiles(ctx, map[string]time.Time{fileID(t, 1): time.Unix(2_000_000_001, 0)})
			},
			after: func(t *testing.T, x Index, _ cas.Digest) {
				if at := getFile(t, x, fileID(t, 1)).ExpiresAt; !at.Equal(time.Unix(2_000_000_001, 0)) {
					t.Errorf("expires at %s", at)
				}
			},
		},
		"ExpireFiles": {
			before: func(t *testing.T, x Index, d cas.Digest) {
				expired(t, x, fileOf(t, 1, d))
				expired(t, x, fileOf(t, 2, d))
				createFile(t, x, fileOf(t, 3, d))
			},
			write: func(ctx context.Context, _ *testing.T, x cas.FileIndex, _ cas.Digest) error {
				_, err := x.ExpireFiles(ctx, 10)
				return err
			},
			after: func(t *testing.T, x Index, d cas.Digest) {
				inUse(t, x, d)
				deleteFile(t, x, fileID(t, 3))
				condemn(t, x, d)
			},
		},
		"ImportFiles": {
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, _ cas.Digest) error {
				_, err := x.ImportFiles(ctx, []cas.File{imported(t, 1), imported(t, 2)}, cas.ImportFilesOptions{})
				return err
			},
			after: func(t *testing.T, x Index, _ cas.Digest) {
				sameFile(t, "the listing", listFiles(t, x, cas.FileQuery{Limit: 10}), []cas.File{imported(t, 1), imported(t, 2)})
			},
		},
		"ResolveFile": {
			before: func(t *testing.T, x Index, _ cas.Digest) { importFiles(t, x, imported(t, 1)) },
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, d cas.Digest) error {
				_, err := x.ResolveFile(ctx, fileID(t, 1), blob(d, 0))
				return err
			},
			after: func(t *testing.T, x Index, d cas.Digest) {
				inUse(t, x, d)
				deleteFile(t, x, fileID(t, 1))
				condemn(t, x, d)
			},
		},
		"CommitResolved": {
			before: func(t *testing.T, x Index, _ cas.Digest) { importFiles(t, x, imported(t, 1)) },
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, d cas.Digest) error {
				_, err := x.CommitResolved(ctx, blob(d, 0), fileID(t, 1))
				return err
			},
			after: func(t *testing.T, x Index, d cas.Digest) {
				inUse(t, x, d)
				deleteFile(t, x, fileID(t, 1))
				condemn(t, x, d)
			},
		},
		"FailFile": {
			before: func(t *testing.T, x Index, _ cas.Digest) { importFiles(t, x, imported(t, 1)) },
			write: func(ctx context.Context, t *testing.T, x cas.FileIndex, _ cas.Digest) error {
				return x.FailFile(ctx, fileID(t, 1), "no")
			},
			after: func(t *testing.T, x Index, _ cas.Digest) {
				if reason := getFile(t, x, fileID(t, 1)).Origin.Error; reason != "no" {
					t.Errorf("the reason is %q", reason)
				}
			},
		},
	}
	var tests []test
	for name, w := range writes {
		for _, apply := range []bool{false, true} {
			tests = append(tests, test{fmt.Sprintf("of %s, applied %v", name, apply), func(t *testing.T, x Index) {
				d := live(t, x, 0)
				if w.before != nil {
					w.before(t, x, d)
				}
				calls := 0
				faulty := NewFaultyFiles(x, func(string, cas.Digest) (bool, error) {
					if calls++; calls == 1 {
						return apply, cas.ErrIndexUnavailable
					}
					return false, nil
				})
				if err := w.write(t.Context(), t, faulty, d); !errors.Is(err, cas.ErrIndexUnavailable) {
					t.Fatalf("the first time: %v", err)
				}
				var want error
				if apply {
					want = w.again
				}
				if err := w.write(t.Context(), t, faulty, d); !errors.Is(err, want) {
					t.Fatalf("the second time: %v; want %v", err, want)
				}
				w.after(t, x, d)
			}})
		}
	}
	return tests
}()
