package localtier

import (
	"context"
	"errors"
	"time"

	"casgate/cas"
	"casgate/cas/folderstore"
)

const (
	// sweepEvery is the time between two parts that are swept, so all parts take 18 hours.
	sweepEvery = time.Second
	// sweepAge is the age of the copies that are swept: an upload's copy is there before its
	// row.
	sweepAge = 5 * time.Minute
	// maxChanged limits the blobs that wait to be looked at. The sweep finds those that are
	// left out.
	maxChanged = 10_000
	// maxDamaged limits the objects that the index is to be told of.
	maxDamaged = 1000
)

// Rows is what Run needs of the index. No cache may answer it.
type Rows interface {
	// Blob and Suspect are described at cas.Index.
	Blob(ctx context.Context, d cas.Digest) (cas.Blob, error)
	Suspect(ctx context.Context, ref cas.ObjectRef) error
}

// Changed says that a blob may be no longer live. It does not block.
func (t *Tier) Changed(d cas.Digest) {
	select {
	case t.changed <- d:
	default:
	}
}

// Run removes the copies of blobs that were deleted, here or elsewhere, until ctx is done. It
// looks at those that Changed names at once, and at all others in turn. It marks the blobs
// suspect whose objects were found damaged when copies were made for no reader.
func (t *Tier) Run(ctx context.Context, rows Rows) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	next := folderstore.Part(0)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case d := <-t.changed:
			t.stopFills(ctx, rows, d)
			t.sweep(ctx, rows, partOf(cas.ObjectRef{Digest: d}), func(o cas.ObjectInfo) bool { return o.Digest == d })
		case ref := <-t.damaged:
			if err := rows.Suspect(ctx, ref); err != nil { // the next full read finds it again
				t.log.Error().Err(err).Str("digest", ref.Digest.String()).Msg("could not mark the blob suspect")
			}
		case <-tick.C:
			t.sweep(ctx, rows, next, func(o cas.ObjectInfo) bool { return time.Since(o.ModifiedAt) > sweepAge })
			next++ // after the last part comes the first one
		}
	}
}

// stopFills keeps the fills of a blob that is deleted, or has another generation, from
// becoming copies.
func (t *Tier) stopFills(ctx context.Context, rows Rows, d cas.Digest) {
	var filling []cas.ObjectRef
	t.mu.Lock()
	for ref, e := range t.entries {
		// The copy of an upload is there before its row.
		if ref.Digest == d && e.fill != nil && e.fill.isFresh {
			filling = append(filling, ref)
		}
	}
	t.mu.Unlock()
	for _, ref := range filling {
		if isDeleted(ctx, rows, ref) {
			t.Forget(ref)
		}
	}
}

// isDeleted reports whether an object is surely that of no visible blob.
func isDeleted(ctx context.Context, rows Rows, ref cas.ObjectRef) bool {
	b, err := rows.Blob(ctx, ref.Digest)
	return errors.Is(err, cas.ErrBlobNotFound) || err == nil && b.Object() != ref
}

// sweep removes those copies of a part whose blobs are deleted, or have another generation.
func (t *Tier) sweep(ctx context.Context, rows Rows, part folderstore.Part, chosen func(cas.ObjectInfo) bool) {
	found, err := t.folder.ListPart(part)
	if err != nil {
		t.failed("list copies", err)
		return
	}
	t.mu.Lock()
	isRight := t.record.bytes[part] == sumOf(found)
	t.mu.Unlock()
	if !isRight {
		t.correct(part) // the record may be damaged, or somebody has put copies there
		t.evictUntil(ctx, nil, t.fits)
	}
	for _, o := range found {
		if chosen(o) && isDeleted(ctx, rows, o.ObjectRef) {
			t.Forget(o.ObjectRef)
		}
	}
}
