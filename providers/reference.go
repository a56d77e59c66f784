package providers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"casgate/cas"
)

// ReferenceKind is a way to use a blob in a request to a provider.
type ReferenceKind struct {
	// Name is what callers choose it by, such as image_url or file_id.
	Name string
	// Needs is what it is made of.
	Needs Need
	// Purpose is what a copy for it must be stored for, where Needs is NeedCopy or
	// NeedText.
	Purpose string
	// Where says in a few words where in a request it goes.
	Where string
}

// Need is what a reference is made of.
type Need string

// What references are made of.
const (
	NeedCopy Need = "copy" // the id of a ready copy
	NeedText Need = "text" // the text the provider extracted
	NeedURL  Need = "url"  // a URL the provider can read the blob at; no copy at all
)

// Material is what a reference is built from; only what its kind needs is set.
type Material struct {
	FileID    string
	Text      string
	URL       string
	Name      string
	MediaType string
}

// Reference is what goes into a request to a provider to use a blob.
type Reference struct {
	Kind ReferenceKind
	// Value is the JSON to paste.
	Value json.RawMessage
	// Copy is the copy it names; nil for a reference by URL.
	Copy *Copy
	// ExpiresAt is when it ceases to work; zero: not by itself.
	ExpiresAt time.Time
}

const (
	// referenceLife is how long a URL handed to a provider works: long enough for a
	// batch that is begun late.
	referenceLife = 24 * time.Hour
	// maxReferenceText bounds the text that is put into a reference, in bytes. What is
	// longer fits no model.
	maxReferenceText = 64 << 20
)

// Reference makes sure of what a reference needs, and builds it. An empty kind
// means the usual one for the blob, or for the request's purpose where it names
// one. Errors: ErrNoReference, and those of Ensure and Text.
func (r *Replicator) Reference(ctx context.Context, q Request, kind string) (Reference, error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return Reference{}, err
	}
	chosen, err := chooseKind(j, q.Purpose, kind)
	if err != nil {
		return Reference{}, err
	}
	ref := Reference{Kind: chosen}
	m := Material{Name: j.wanted.Name, MediaType: j.blob.MediaType}
	switch chosen.Needs {
	case NeedCopy:
		q.Purpose = chosen.Purpose
		c, _, err := r.Ensure(ctx, q)
		if err != nil {
			return Reference{}, err
		}
		m.FileID, ref.Copy, ref.ExpiresAt = c.FileID, &c, c.ExpiresAt
	case NeedText:
		blob, err := r.Text(ctx, q)
		if err != nil {
			return Reference{}, err
		}
		if m.Text, err = r.readText(ctx, blob); err != nil {
			return Reference{}, err
		}
	case NeedURL:
		if r.o.SignURL == nil {
			return Reference{}, fmt.Errorf("%w: this gateway gives out no URLs", ErrNoReference)
		}
		if m.URL, err = r.o.SignURL(ctx, q.Digest, referenceLife); err != nil {
			return Reference{}, err
		}
		ref.ExpiresAt = time.Now().Add(referenceLife).UTC().Truncate(time.Second)
	}
	ref.Value, err = j.provider.Reference(chosen, m)
	return ref, err
}

// chooseKind picks the kind of reference by its name, else by purpose, else the
// usual one.
func chooseKind(j job, purpose, name string) (ReferenceKind, error) {
	kinds := j.provider.References(j.blob.MediaType, j.wanted.Extension)
	names := make([]string, len(kinds))
	for i, k := range kinds {
		if (name == "" || k.Name == name) && (purpose == "" || k.Purpose == purpose) {
			return k, nil
		}
		names[i] = k.Name
	}
	advice := "there is no way to use a blob like this there"
	if len(names) > 0 {
		advice = "there are " + strings.Join(names, ", ")
	}
	return ReferenceKind{}, fmt.Errorf("%w: %s has none of kind %q and purpose %q for %s; %s",
		ErrNoReference, j.about.Provider, name, purpose, j.blob.MediaType, advice)
}

// readText reads an extracted text, whole.
func (r *Replicator) readText(ctx context.Context, b cas.Blob) (string, error) {
	if b.Size > maxReferenceText {
		return "", fmt.Errorf("%w: the text has %d bytes, too many for a request; read it at its own URL", ErrNoReference, b.Size)
	}
	content, err := r.blobs.OpenVerified(ctx, b)
	if err != nil {
		return "", err
	}
	defer content.Close()
	if content.Body == nil {
		return string(content.Bytes), nil
	}
	text, err := io.ReadAll(content.Body)
	if err != nil && !errors.Is(err, cas.ErrObjectCorrupt) {
		err = fmt.Errorf("%w: %w", cas.ErrStoreUnavailable, err)
	}
	return string(text), err
}
