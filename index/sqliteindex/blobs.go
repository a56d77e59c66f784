package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"casgate/cas"
)

var sqlBlob = `
select ` + blobTable.Select() + `
from blobs
where digest = ? and state in ('live', 'suspect')`

// Blob implements cas.Index.
func (x *Index) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	b, err := x.one(ctx, sqlBlob, d)
	if err != nil {
		return cas.Blob{}, blobFault(ctx, "look up", d, err)
	}
	return b, nil
}

var (
	sqlSeen = `
select ` + blobTable.Select() + `, touched_at
from blobs where digest = ?`

	sqlTouch = `
update blobs set touched_at = case state when 'live' then max(touched_at, ?) else touched_at end
where digest = ?
returning ` + blobTable.Select()
)

// touchEvery is how old touched_at of a live row may be before it is refreshed.
const touchEvery = time.Minute

// Touch implements cas.Index. In most cases there is nothing to write, and Touch
// returns the row it read, without the write lock. Otherwise it returns the row as
// updated.
func (x *Index) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	b, err := x.touch(ctx, d)
	if err != nil {
		return cas.Blob{}, blobFault(ctx, "touch", d, err)
	}
	return b, nil
}

// touch is Touch with raw errors.
func (x *Index) touch(ctx context.Context, d cas.Digest) (b cas.Blob, err error) {
	var touched int64
	b, err = x.one(ctx, sqlSeen, d, &touched)
	if err != nil {
		return cas.Blob{}, err
	}
	if b.State != cas.StateLive || now()-touched <= touchEvery.Microseconds() {
		return b, nil
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		b, err = blobTable.Scan(tx.QueryRowContext(ctx, sqlTouch, now(), d[:]))
		return err
	})
	return b, err
}

var (
	sqlInsert = `
insert into blobs (digest, size, media_type, name, generation, state, created_at, touched_at)
values (?, ?, ?, ?, ?, 'live', ?, ?)
returning ` + blobTable.Select()

	// Live, or condemned and rescued.
	sqlRefresh = `
update blobs set
    state = 'live', condemned_at = null, scrub_claim = null, touched_at = max(touched_at, ?),
    name = case name when '' then ? else name end
where digest = ?
returning ` + blobTable.Select()

	// Suspect, and this object is not older.
	sqlRepair = `
update blobs set
    state = 'live', size = ?, generation = ?, verified_at = null, scrub_claim = null, touched_at = max(touched_at, ?),
    name = case name when '' then ? else name end
where digest = ?
returning ` + blobTable.Select()

	// The row's object is being removed, or is gone, and this is a new object.
	sqlRenew = `
update blobs set
    state = 'live', size = ?, media_type = ?, name = ?, generation = ?, created_at = ?, touched_at = ?,
    condemned_at = null, deleting_at = null, verified_at = null, scrub_claim = null
where digest = ?
returning ` + blobTable.Select()
)

// Commit implements cas.Index. If b's size contradicts a live or condemned row, Commit
// returns the row unchanged: the caller has found a broken database.
func (x *Index) Commit(ctx context.Context, b cas.Blob) (row cas.Blob, created bool, err error) {
	if err := b.Check(); err != nil {
		return cas.Blob{}, false, err
	}
	err = x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row, created, err = commit(ctx, tx, b)
		return err
	})
	if err != nil {
		return cas.Blob{}, false, blobFault(ctx, "commit", b.Digest, err)
	}
	return row, created, nil
}

// commit decides by the current row. No other process can write until the transaction
// ends.
func commit(ctx context.Context, tx *sql.Tx, b cas.Blob) (row cas.Blob, created bool, err error) {
	d, at := b.Digest[:], now()
	row, err = blobTable.Scan(tx.QueryRowContext(ctx, sqlSeen, d), new(int64))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		row, err = blobTable.Scan(tx.QueryRowContext(ctx, sqlInsert, d, b.Size, b.MediaType, b.Name, b.Generation, at, at))
		return row, true, err
	case err != nil:
		return row, false, err
	case row.State == cas.StateDeleting || row.State == cas.StateGone:
		if b.Generation <= row.Generation {
			return row, false, nil
		}
		row, err = blobTable.Scan(tx.QueryRowContext(ctx, sqlRenew, b.Size, b.MediaType, b.Name, b.Generation, at, at, d))
		return row, true, err
	case row.State == cas.StateSuspect:
		if b.Generation < row.Generation {
			return row, false, nil
		}
		row, err = blobTable.Scan(tx.QueryRowContext(ctx, sqlRepair, b.Size, b.Generation, at, b.Name, d))
		return row, true, err
	case row.Size != b.Size:
		return row, false, nil
	}
	row, err = blobTable.Scan(tx.QueryRowContext(ctx, sqlRefresh, at, b.Name, d))
	return row, false, err
}

const (
	sqlCondemn = `update blobs set state = 'condemned', condemned_at = ? where digest = ?`
	sqlInUse   = `select exists (select 1 from files where digest = ?1 and ` + aliveFile + `)`
)

// Condemn implements cas.Index. With Force the blob is condemned even if files refer to
// it. The collector doesn't ask about files, since only Force condemns a blob that has
// any. The files stay, and have their bytes again after the next upload of the blob.
func (x *Index) Condemn(ctx context.Context, d cas.Digest, o cas.CondemnOptions) error {
	var used bool
	err := x.free(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at := now()
		if _, err := blobTable.Scan(tx.QueryRowContext(ctx, sqlBlob, d[:])); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, sqlInUse, d[:], at).Scan(&used)
		if err != nil || (used && !o.Force) {
			return err
		}
		_, err = tx.ExecContext(ctx, sqlCondemn, at, d[:])
		return err
	})
	switch {
	case err != nil:
		return blobFault(ctx, "delete", d, err)
	case used && !o.Force:
		return fmt.Errorf("delete blob %s: %w", d.Short(), cas.ErrBlobInUse)
	}
	return nil
}

const sqlSuspect = `
update blobs set state = 'suspect'
where digest = ? and generation = ? and state = 'live'`

// Suspect implements cas.Index.
func (x *Index) Suspect(ctx context.Context, ref cas.ObjectRef) error {
	err := x.exec(ctx, sqlSuspect, ref.Digest[:], ref.Generation)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return blobFault(ctx, "mark suspect", ref.Digest, err)
	}
	return nil
}

const sqlTrust = `
update blobs set state = 'live', verified_at = ?
where digest = ? and generation = ? and state = 'suspect'`

// Trust implements cas.Index.
func (x *Index) Trust(ctx context.Context, ref cas.ObjectRef) error {
	err := x.exec(ctx, sqlTrust, now(), ref.Digest[:], ref.Generation)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return blobFault(ctx, "mark live", ref.Digest, err)
	}
	return nil
}

const sqlSetMediaType = `
update blobs set media_type = ?3
where digest = ?1 and media_type = ?2 and state in ('live', 'suspect')`

// SetMediaType implements cas.Index.
func (x *Index) SetMediaType(ctx context.Context, d cas.Digest, from, to string) error {
	if err := (cas.Blob{Digest: d, MediaType: to}).Check(); err != nil {
		return err
	}
	err := x.exec(ctx, sqlSetMediaType, d[:], from, to)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return blobFault(ctx, "set the media type of", d, err)
	}
	return nil
}

const sqlFillName = `
update blobs set name = ?2
where digest = ?1 and name = '' and state in ('live', 'suspect')`

// FillName implements cas.Index.
func (x *Index) FillName(ctx context.Context, d cas.Digest, name string) error {
	if err := (cas.Blob{Digest: d, Name: name}).Check(); err != nil {
		return err
	}
	err := x.exec(ctx, sqlFillName, d[:], name)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return blobFault(ctx, "name", d, err)
	}
	return nil
}

// exec runs one statement as a transaction. The error is sql.ErrNoRows if no row was
// changed.
func (x *Index) exec(ctx context.Context, statement string, args ...any) error {
	return x.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, sql.ErrNoRows)
		}
		return nil
	})
}
