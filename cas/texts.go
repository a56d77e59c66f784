package cas

import (
	"context"
	"errors"
)

// TextIndex knows the texts that providers have extracted from blobs. A text is a blob
// itself.
type TextIndex interface {
	// Texts returns the texts that were extracted from a blob, each once. A text that is
	// the blob itself is not among them.
	Texts(ctx context.Context, d Digest) ([]ExtractedText, error)
}

// ExtractedText is a blob with text that was extracted from another blob.
type ExtractedText struct {
	Digest Digest
	// Shared reports whether the same text was extracted from another blob, too, that
	// readers see.
	Shared bool
}

// ReleasedText says whether an extracted text was deleted with its blob.
type ReleasedText struct {
	Digest Digest
	// Condemned is false if something else needs the text: files refer to it, or another
	// blob has the same text.
	Condemned bool
}

// Texts deletes extracted texts.
type Texts struct {
	Index TextIndex
	// Blobs condemns blobs; a Store's index, with its cache.
	Blobs interface {
		Condemn(ctx context.Context, d Digest, o CondemnOptions) error
	}
}

// Condemn condemns the texts of a blob that nothing else needs, and returns all its
// texts. It may be repeated. A text that is extracted meanwhile goes when the collector
// removes the blob.
func (t Texts) Condemn(ctx context.Context, d Digest) ([]ReleasedText, error) {
	texts, err := t.Index.Texts(ctx, d)
	if err != nil {
		return nil, err
	}
	released := make([]ReleasedText, len(texts))
	for i, text := range texts {
		released[i].Digest = text.Digest
		if text.Shared {
			continue
		}
		err := t.Blobs.Condemn(ctx, text.Digest, CondemnOptions{})
		switch {
		case err == nil, errors.Is(err, ErrBlobNotFound): // deleted before
			released[i].Condemned = true
		case !errors.Is(err, ErrBlobInUse):
			return released, err
		}
	}
	return released, nil
}
