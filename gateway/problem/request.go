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

// OfImport returns the error for an imported file whose bytes can't be taken in, in words
// that fit: there is no blob yet, and the bytes are not those of the request. It returns
// other errors as they are.
func OfImport(err error) error {
	switch {
	case errors.Is(err, cas.ErrDigestMismatch) && !errors.Is(err, cas.ErrObjectCorrupt):
		return New(ObjectCorrupt, "The bytes of this imported file are not those that were noted of it, and were not taken in. The file's status_details say what differs.")
	case errors.Is(err, cas.ErrBlobTooLarge):
		return New(ObjectCorrupt, "The bytes of this imported file are more than are taken.")
	case errors.Is(err, cas.ErrObjectMissing):
		return New(ObjectMissing, "The bytes of this imported file are missing in the place that it was imported from, which the file's status_details name. They are taken in once they are there. A delete without everywhere does not need them.")
	}
	return err
}
