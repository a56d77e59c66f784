package replicator

import (
	"bytes"
	"cmp"
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

// Reference is the part of a request to a provider that uses a blob.
type Reference struct {
	Kind providers.ReferenceKind
	// Value is the JSON to paste.
	Value json.RawMessage
	// Copy is the copy it names; nil for a reference by URL.
	Copy *ledger.Copy
	// ExpiresAt is when the reference expires; zero means never.
	ExpiresAt time.Time
	// Warning says why the reference may not work; empty means that nothing is known.
	Warning string
	// unreachable is an error if the provider certainly can't reach the URL.
	unreachable error
}

const (
	// maxReferenceText is the maximum size of the text in a reference, in bytes. A longer
	// text fits no model.
	maxReferenceText = 64 << 20
	// maxReferenceBytes is the maximum size of a blob whose bytes stand in a reference.
	maxReferenceBytes = 20 << 20
)

// Reference makes the copy, the text or the URL that a reference needs, and builds it.
// An empty kind means the usual one for the blob, or for the request's purpose if it
// has one. If the usual one is a URL that the provider certainly can't reach, Reference
// takes another for the same request; a URL that was asked for by its kind comes with a
// warning. Errors: ErrNoReference, ErrReferenceUnreachable, and those of Ensure and Text.
func (r *Replicator) Reference(ctx context.Context, q Request, kind string) (Reference, error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return Reference{}, err
	}
	chosen, err := chooseKind(j, q.Purpose, kind)
	if err != nil {
		return Reference{}, err
	}
	ref, err := r.referenceOf(ctx, q, j, chosen)
	if err == nil && ref.unreachable != nil && kind == "" {
		return r.withoutURL(ctx, q, j, chosen, ref.unreachable)
	}
	return ref, err
}

// referenceOf returns a reference of a kind.
func (r *Replicator) referenceOf(ctx context.Context, q Request, j job, chosen providers.ReferenceKind) (Reference, error) {
	ref := Reference{Kind: chosen}
	m := providers.Material{Name: j.wanted.Name, MediaType: j.fileType.MediaType, Digest: j.blob.Digest}
	switch chosen.Needs {
	case providers.NeedCopy:
		q.Purpose = chosen.Purpose
		wanted, err := r.again(j, q)
		if err != nil {
			return Reference{}, err
		}
		c, _, err := r.ensure(ctx, wanted)
		if err != nil {
			return Reference{}, err
		}
		m.FileID, ref.Copy, ref.ExpiresAt = c.FileID, &c, c.ExpiresAt
		m.MediaType = cmp.Or(c.MediaType, m.MediaType) // the type it is stored under
	case providers.NeedText:
		blob, err := r.Text(ctx, q)
		if err != nil {
			return Reference{}, err
		}
		if m.Text, err = r.readText(ctx, q, blob); err != nil {
			return Reference{}, err
		}
	case providers.NeedURL:
		signed, err := r.urlFor(ctx, j, chosen)
		if err != nil {
			return Reference{}, err
		}
		m.URL, ref.ExpiresAt, ref.Warning, ref.unreachable = signed.address, signed.expires, signed.warning, signed.unreachable
	case providers.NeedBytes:
		var err error
		if m.Bytes, err = r.bytesFor(ctx, q, j, chosen); err != nil {
			return Reference{}, err
		}
	}
	var err error
	ref.Value, err = j.provider.Reference(chosen, m)
	return ref, err
}

// withoutURL returns a reference for the same request that is no URL, or the error if there
// is none.
func (r *Replicator) withoutURL(ctx context.Context, q Request, j job, kind providers.ReferenceKind, unreachable error) (Reference, error) {
	other, ok := kind.WithoutURL(j.provider.References(j.fileType.MediaType, j.fileType.Extension))
	if !ok || q.Purpose != "" && other.Purpose != q.Purpose {
		return Reference{}, unreachable
	}
	return r.Reference(ctx, q, other.Name)
}

// bytesFor returns the bytes of the blob, for a request that has them in it.
func (r *Replicator) bytesFor(ctx context.Context, q Request, j job, kind providers.ReferenceKind) ([]byte, error) {
	if kind.MaxSize <= 0 || kind.MaxSize > maxReferenceBytes {
		kind.MaxSize = maxReferenceBytes
	}
	if err := r.checkBounds(ctx, j, kind); err != nil {
		return nil, err
	}
	var all bytes.Buffer
	err := r.readWhole(ctx, q, j.blob, &all)
	return all.Bytes(), err
}

// chooseKind returns the kind of reference with this name and purpose. An empty name or
// purpose matches all; the first match is the usual one.
func chooseKind(j job, purpose, name string) (providers.ReferenceKind, error) {
	kinds := j.provider.References(j.fileType.MediaType, j.fileType.Extension)
	for _, k := range kinds {
		if (name == "" || k.Name == name) && (purpose == "" || k.Purpose == purpose) {
			return k, nil
		}
	}
	return providers.ReferenceKind{}, noKind(j, kinds, purpose, name)
}

// noKind returns the error for a file without a reference of the wanted kind and purpose.
// It says what the file is taken for, and what to do.
func noKind(j job, kinds []providers.ReferenceKind, purpose, name string) error {
	wanted := "none"
	if name != "" {
		wanted += fmt.Sprintf(" of kind %q", name)
	}
	if purpose != "" {
		wanted += fmt.Sprintf(" for the purpose %q", purpose)
	}
	if name == "" && purpose == "" {
		wanted = "no reference"
	}
	extension := "without an extension"
	if j.fileType.Extension != "" {
		extension = "with the extension " + j.fileType.Extension
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name
	}
	advice := "there are " + strings.Join(names, ", ")
	if len(names) == 0 {
		advice = "name the file with the extension of its format, if it has another one"
		if err := j.description.Check(j.purpose, j.wanted.Extension, max(j.wanted.Size, 1)); err != nil {
			if e, ok := errors.AsType[*providers.Error](err); ok && e.Hint != "" {
				advice = e.Hint
			}
		}
	}
	return fmt.Errorf("%w: %s has %s for a file %s of the type %s; %s",
		providers.ErrNoReference, j.description.Provider, wanted, extension, j.fileType.MediaType, advice)
}

// readText reads a whole extracted text.
func (r *Replicator) readText(ctx context.Context, q Request, b cas.Blob) (string, error) {
	if b.Size > maxReferenceText {
		return "", fmt.Errorf("%w: the text has %d bytes, too many for a request; read it at its own URL", providers.ErrNoReference, b.Size)
	}
	var text strings.Builder
	err := r.readWhole(ctx, q, b, &text)
	return text.String(), err
}

// readWhole reads a whole blob into memory.
func (r *Replicator) readWhole(ctx context.Context, q Request, b cas.Blob, into interface {
	io.Writer
	Grow(n int)
}) error {
	if q.Reserve != nil {
		if err := q.Reserve(b.Size); err != nil {
			return err
		}
	}
	content, err := r.blobs.OpenVerified(ctx, b)
	if err != nil {
		return err
	}
	defer content.Close()
	into.Grow(int(b.Size) + bytes.MinRead) // a buffer wants that much room to see the end
	if content.Body == nil {
		_, err := into.Write(content.Bytes)
		return err
	}
	_, err = io.Copy(into, content.Body)
	if err != nil && !errors.Is(err, cas.ErrObjectCorrupt) {
		err = fmt.Errorf("%w: %w", cas.ErrStoreUnavailable, err)
	}
	return err
}
