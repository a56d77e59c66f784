package replicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// Reference is what goes into a request to a provider to use a blob.
type Reference struct {
	Kind providers.ReferenceKind
	// Value is the JSON to paste.
	Value json.RawMessage
	// Copy is the copy it names; nil for a reference by URL.
	Copy *ledger.Copy
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
	m := providers.Material{Name: j.wanted.Name, MediaType: j.blob.MediaType}
	switch chosen.Needs {
	case providers.NeedCopy:
		q.Purpose = chosen.Purpose
		c, _, err := r.Ensure(ctx, q)
		if err != nil {
			return Reference{}, err
		}
		m.FileID, ref.Copy, ref.ExpiresAt = c.FileID, &c, c.ExpiresAt
	case providers.NeedText:
		blob, err := r.Text(ctx, q)
		if err != nil {
			return Reference{}, err
		}
		if m.Text, err = r.readText(ctx, blob); err != nil {
			return Reference{}, err
		}
	case providers.NeedURL:
		if r.o.SignURL == nil {
			return Reference{}, fmt.Errorf("%w: this gateway gives out no URLs", providers.ErrNoReference)
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
func chooseKind(j job, purpose, name string) (providers.ReferenceKind, error) {
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
	return providers.ReferenceKind{}, fmt.Errorf("%w: %s has none of kind %q and purpose %q for %s; %s",
		providers.ErrNoReference, j.description.Provider, name, purpose, j.blob.MediaType, advice)
}

// readText reads an extracted text, whole.
func (r *Replicator) readText(ctx context.Context, b cas.Blob) (string, error) {
	if b.Size > maxReferenceText {
		return "", fmt.Errorf("%w: the text has %d bytes, too many for a request; read it at its own URL", providers.ErrNoReference, b.Size)
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
