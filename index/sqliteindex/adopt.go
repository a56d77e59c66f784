package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"casgate/cas"
	"casgate/cas/reindexer"
)

var _ reindexer.Index = (*Index)(nil)

// isAdoptable reports whether an object can be adopted beside its blob's row.
func isAdoptable(row cas.Blob, generation int32) bool {
	return (row.State == cas.StateGone || row.State == cas.StateSuspect) && row.Generation < generation
}

// Adoptable implements reindexer.Index.
func (x *Index) Adoptable(ctx context.Context, refs []cas.ObjectRef) (adoptable []cas.ObjectRef, err error) {
	for _, ref := range refs {
		row, err := x.one(ctx, sqlSeen, ref.Digest, new(int64))
		isNew := errors.Is(err, sql.ErrNoRows)
		if err != nil && !isNew {
			return nil, fault(ctx, fmt.Sprintf("look for %d objects", len(refs)), err)
		}
		if isNew || isAdoptable(row, ref.Generation) {
			adoptable = append(adoptable, ref)
		}
	}
	return adoptable, nil
}

// Stale implements reindexer.Index.
func (x *Index) Stale(ctx context.Context, refs []cas.ObjectRef) (stale []reindexer.StaleObject, err error) {
	for _, ref := range refs {
		row, err := x.one(ctx, sqlSeen, ref.Digest, new(int64))
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return nil, fault(ctx, fmt.Sprintf("look for old generations among %d objects", len(refs)), err)
		case row.State == cas.StateLive && ref.Generation < row.Generation:
			stale = append(stale, reindexer.StaleObject{ObjectRef: ref, Live: row.Generation})
		case row.State == cas.StateGone && ref.Generation <= row.Generation:
			stale = append(stale, reindexer.StaleObject{ObjectRef: ref, Live: -1})
		}
	}
	return stale, nil
}

const (
	sqlAdopt = `
insert into blobs (digest, size, media_type, name, generation, state, created_at, touched_at)
values (?1, ?2, ?3, ?4, ?5, 'live', ?6, ?7)`

	// A suspect row keeps its name, media type and creation time.
	sqlAdoptNext = `
update blobs set
    size = ?2, generation = ?5, state = 'live', touched_at = ?7,
    media_type = case state when 'gone' then ?3 else media_type end,
    name = case state when 'gone' then ?4 else name end,
    created_at = case state when 'gone' then ?6 else created_at end,
    condemned_at = null, deleting_at = null, verified_at = null
where digest = ?1`
)

// AdoptBlobs implements reindexer.Index.
func (x *Index) AdoptBlobs(ctx context.Context, blobs []cas.Blob) (adopted []cas.ObjectRef, err error) {
	for _, b := range blobs {
		if err := b.Check(); err != nil {
			return nil, err
		}
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, b := range blobs {
			statement := sqlAdopt
			row, err := blobTable.Scan(tx.QueryRowContext(ctx, sqlSeen, b.Digest[:]), new(int64))
			switch {
			case err == nil && !isAdoptable(row, b.Generation):
				continue
			case err == nil:
				statement = sqlAdoptNext
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
			if _, err := tx.ExecContext(ctx, statement, b.Digest[:], b.Size, b.MediaType, b.Name, b.Generation, b.CreatedAt.UnixMicro(), now()); err != nil {
				return err
			}
			adopted = append(adopted, b.Object())
		}
		return nil
	})
	if err != nil {
		return nil, fault(ctx, fmt.Sprintf("adopt %d objects", len(blobs)), err)
	}
	return adopted, nil
}
