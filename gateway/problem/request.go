package problem

import (
	"errors"
	"fmt"

	"casgate/cas"
)

// BadRequest returns an InvalidRequest error.
func BadRequest(detail string) error { return New(InvalidRequest, detail) }

// WithBlob names the blob in a cas.ErrBlobNotFound by its whole digest, which the layers
// below shorten. It returns other errors as they are.
func WithBlob(err error, d cas.Digest) error {
	if errors.Is(err, cas.ErrBlobNotFound) {
		return fmt.Errorf("%w: %s", cas.ErrBlobNotFound, d)
	}
	return err
}

// WithFile names the file in a cas.ErrFileNotFound. It returns other errors as they
// are.
func WithFile(err error, id string) error {
	if errors.Is(err, cas.ErrFileNotFound) {
		return WithParam("id", fmt.Errorf("%w: %.100q was deleted, has expired, or never was", cas.ErrFileNotFound, id))
	}
	return err
}
