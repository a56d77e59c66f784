// Package foldersource reads the folder in which an old file manager keeps its bytes. It
// never writes, and it never reads outside the folder.
package foldersource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"casgate/cas"
	"casgate/cas/importer"
)

// Source is a folder to read from. It is safe for concurrent use.
type Source struct {
	root *os.Root
	name string
}

var _ cas.Source = (*Source)(nil)

// Open opens the folder, which must exist.
func Open(dir string) (*Source, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder to read from: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder to read from: %w", err)
	}
	return &Source{root: root, name: "file://" + filepath.ToSlash(dir)}, nil
}

// Close closes the folder. Open objects stay readable.
func (s *Source) Close() error { return s.root.Close() }

// Name implements cas.Source: file:// and the folder's path.
func (s *Source) Name() string { return s.name }

// Check returns an error that wraps cas.ErrOriginUnavailable if the folder can't be
// listed.
func (s *Source) Check(ctx context.Context) error {
	dir, err := s.root.Open(".")
	if err != nil {
		return fmt.Errorf("%w: %w", cas.ErrOriginUnavailable, err)
	}
	defer dir.Close()
	if _, err := dir.ReadDir(1); err != nil && err != io.EOF {
		return fmt.Errorf("%w: %w", cas.ErrOriginUnavailable, err)
	}
	return ctx.Err()
}

// Open implements cas.Source. Keys are paths with slashes, relative to the folder. The
// error wraps cas.ErrObjectMissing for a key that leads out of the folder, by dots or by
// a symbolic link, and for anything but a regular file.
func (s *Source) Open(ctx context.Context, key string) (cas.Object, error) {
	file, info, err := s.open(ctx, key)
	if err != nil {
		return cas.Object{}, err
	}
	return cas.Object{Body: &body{ctx, file}, Size: info.Size()}, nil
}

// Stat returns an object's size in bytes. Errors are those of Open.
func (s *Source) Stat(ctx context.Context, key string) (size int64, err error) {
	file, info, err := s.open(ctx, key)
	if err != nil {
		return 0, err
	}
	return info.Size(), file.Close()
}

func (s *Source) open(ctx context.Context, key string) (*os.File, fs.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", cas.ErrOriginUnavailable, err)
	}
	// Without O_NONBLOCK, opening a pipe would block.
	file, err := s.root.OpenFile(filepath.FromSlash(strings.TrimLeft(key, "/")), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fault(key, err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %q is not a regular file", cas.ErrObjectMissing, key)
	} else if err != nil {
		err = fault(key, err)
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

// fault gives an error its kind. An error without an errno comes from os.Root, which
// refuses paths that lead out of the folder.
func fault(key string, err error) error {
	kind := cas.ErrOriginUnavailable
	number, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		kind = cas.ErrObjectMissing
	}
	switch number {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.ELOOP, syscall.EINVAL, syscall.ENXIO:
		kind = cas.ErrObjectMissing
	}
	return fmt.Errorf("%w: %q: %w", kind, key, err)
}

// body is a file on disk whose reads fail once its context is done.
type body struct {
	ctx  context.Context
	file *os.File
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", cas.ErrOriginUnavailable, err)
	}
	n, err := b.file.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", cas.ErrOriginUnavailable, err)
	}
	return n, err
}

func (b *body) Close() error { return b.file.Close() }

// Rows lists all regular files as rows of an import, in the order of their names.
// It leaves out symbolic links. For a folder that can't be read it yields a RowError,
// and continues.
func (s *Source) Rows(ctx context.Context) iter.Seq2[importer.Row, error] {
	return func(yield func(importer.Row, error) bool) {
		err := fs.WalkDir(s.root.FS(), ".", func(key string, entry fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return fmt.Errorf("%w: list %s: %w", cas.ErrOriginUnavailable, s.name, context.Cause(ctx))
			}
			row := importer.Row{Key: key, Name: path.Base(key)}
			switch {
			case err != nil && key == ".":
				return fmt.Errorf("%w: list %s: %w", cas.ErrOriginUnavailable, s.name, err)
			case err != nil:
				err = &importer.RowError{Where: key, Err: err}
			case !entry.Type().IsRegular():
				return nil
			default:
				info, infoErr := entry.Info()
				if errors.Is(infoErr, fs.ErrNotExist) {
					return nil // removed meanwhile
				}
				if infoErr != nil {
					err = &importer.RowError{Where: key, Err: infoErr}
					break
				}
				row.Size = fmt.Sprint(info.Size())
				row.CreatedAt = info.ModTime().UTC().Format(time.RFC3339Nano)
			}
			if !yield(row, err) {
				return fs.SkipAll
			}
			if err != nil && entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			yield(importer.Row{}, err)
		}
	}
}
