// Package blobtarget finds the blob that a request is about: its path names the blob by
// digest, or by a file that refers to it.
package blobtarget

import (
	"context"
	"errors"
	"fmt"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/providers/ledger"
)

// Files are the files that paths name.
type Files interface {
	// File returns a file, or cas.ErrFileNotFound.
	File(ctx context.Context, id string) (cas.File, error)
	// Bytes returns a file and its blob, and first takes in the bytes of a file that was
	// imported.
	Bytes(ctx context.Context, id string) (cas.File, cas.Blob, error)
}

// Finder finds targets.
type Finder struct {
	Files Files
	Waits request.Waits
}

// Target is the blob that a request is about.
type Target struct {
	Digest cas.Digest // zero: the bytes of an imported file that have not been taken in
	// Name is the name of the file's copies, if the request gives none, and MediaType the
	// type that the file was declared with. Both are empty for a blob.
	Name, MediaType string
}

// Find returns the target of a path.
func (f Finder) Find(c echo.Context) (Target, error) {
	if c.Param("file") == "" {
		d, err := request.Digest(c)
		return Target{Digest: d}, err
	}
	id, err := request.PathParam(c, "file")
	if err != nil {
		return Target{}, err
	}
	file, err := f.Files.File(c.Request().Context(), id)
	return OfFile(file, file.Digest), problem.WithFile(err, id)
}

// FindBytes is Find for requests that need the bytes: those of an imported file are
// taken in.
func (f Finder) FindBytes(c echo.Context) (Target, error) {
	found, err := f.Find(c)
	if err != nil || !found.Digest.IsZero() || c.Param("file") == "" {
		return found, err
	}
	file, blob, err := f.FileBytes(c)
	return OfFile(file, blob.Digest), err
}

// FileBytes returns the file of a path with its blob, and first takes in the bytes of a
// file that was imported.
func (f Finder) FileBytes(c echo.Context) (cas.File, cas.Blob, error) {
	id, err := request.PathParam(c, "file")
	if err != nil {
		return cas.File{}, cas.Blob{}, err
	}
	wait := f.Waits.ForResult(c.Request())
	defer wait.End()
	file, blob, err := f.Files.Bytes(wait, id)
	switch {
	case err == nil:
		return file, blob, nil
	case wait.HasRunOut() && errors.Is(err, context.Cause(wait)):
		err = problem.New(problem.OriginUnavailable, "The file was not found in time. If it was imported, its bytes are being taken in, which goes on; else the index is slow. Ask again shortly.")
	case errors.Is(err, cas.ErrBlobNotFound):
		err = problem.New(problem.BlobNotFound, "The bytes of this file were deleted. Uploading the same bytes again brings them back.")
	default:
		err = problem.OfImport(err)
	}
	return cas.File{}, cas.Blob{}, problem.WithFile(err, id)
}

// OfFile returns the target for a file whose bytes have this digest.
func OfFile(f cas.File, d cas.Digest) Target {
	return Target{Digest: d, Name: f.Name, MediaType: f.MediaType}
}

// ErrNotTakenIn is the error for copies of an imported file whose bytes have not been
// taken in: there can't be any.
var ErrNotTakenIn = fmt.Errorf("%w: the bytes of this imported file have not been taken in yet", ledger.ErrNotFound)
