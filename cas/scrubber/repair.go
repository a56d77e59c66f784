package scrubber

import (
	"context"
	"errors"
	"fmt"
	"io"

	"casgate/cas"
)

// Source may have the bytes of blobs.
type Source interface {
	// Candidates returns where the bytes of a blob may be. It need not be sure: the bytes
	// are verified.
	Candidates(ctx context.Context, b cas.Blob) ([]Candidate, error)
}

// Candidate may have the bytes of a blob.
type Candidate struct {
	Name string // for reports
	// Open starts a read of the bytes. The error wraps cas.ErrObjectMissing if they are not
	// there. The caller closes the stream.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// errNoSource: no source has the blob.
var errNoSource = errors.New("no source has its bytes; an upload of them repairs it")

// repair writes a suspect blob's object again, from the first source that has the right
// bytes, and makes the blob live. It returns the source's name.
func (s *Scrubber) repair(ctx context.Context, b cas.Blob) (source string, err error) {
	var failures []error
	for _, from := range s.o.Sources {
		candidates, err := from.Candidates(ctx, b)
		if err != nil {
			failures = append(failures, err)
		}
		for _, c := range candidates {
			err := s.restore(ctx, b, c)
			if err == nil {
				return c.Name, nil
			}
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			if !errors.Is(err, cas.ErrObjectMissing) {
				failures = append(failures, fmt.Errorf("from %s: %w", c.Name, err))
			}
		}
	}
	if len(failures) == 0 {
		return "", errNoSource
	}
	return "", errors.Join(failures...)
}

// restore writes a blob's object from a candidate. Wrong bytes never replace the object:
// the reader fails before their last byte.
func (s *Scrubber) restore(ctx context.Context, b cas.Blob, c Candidate) error {
	bytes, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer bytes.Close()
	body := cas.NewVerifyingReader(bytes, b.Digest, b.Size)
	if err := s.o.Objects.Put(ctx, b.Object(), body); err != nil {
		if body.Err() != nil {
			return body.Err()
		}
		return err
	}
	s.o.OnStep(StepRestored, b.Object())
	// A disk that has lost bytes once may do so again.
	if err := s.read(ctx, b); err != nil {
		return fmt.Errorf("the object is written again, and can't be read: %w", err)
	}
	if err := s.o.Index.Trust(ctx, b.Object()); err != nil {
		return err
	}
	return s.dropSuperseded(ctx, b.Object())
}

// dropSuperseded removes a restored object if the blob was deleted meanwhile, and its
// object collected: then no commit makes this generation readable again.
func (s *Scrubber) dropSuperseded(ctx context.Context, ref cas.ObjectRef) error {
	row, err := s.o.Index.Touch(ctx, ref.Digest)
	if err != nil {
		return err
	}
	if !row.Supersedes(ref) {
		return nil
	}
	if err := s.o.Objects.Delete(ctx, ref); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s was deleted meanwhile", cas.ErrBlobNotFound, ref.Digest.Short())
}

// ObjectSource is a Source with objects under their keys, such as the folder of an
// earlier set-up, or a copy of the bucket.
type ObjectSource struct{ cas.Source }

// Candidates implements Source. The source may have the bytes under another generation;
// those of a blob that was never deleted are under generation 0.
func (o ObjectSource) Candidates(_ context.Context, b cas.Blob) ([]Candidate, error) {
	refs := []cas.ObjectRef{b.Object()}
	if b.Generation != 0 {
		refs = append(refs, cas.ObjectRef{Digest: b.Digest})
	}
	candidates := make([]Candidate, len(refs))
	for i, ref := range refs {
		candidates[i] = Candidate{o.Name(), func(ctx context.Context) (io.ReadCloser, error) {
			object, err := o.Open(ctx, ref.Key())
			return object.Body, err
		}}
	}
	return candidates, nil
}
