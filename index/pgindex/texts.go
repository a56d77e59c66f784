package pgindex

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
	"casgate/providers/ledger"
)

const sqlExtractedText = `select text_digest from extracted_texts where digest = $1 and provider = $2 and extension = $3`

// ExtractedText implements ledger.Store.
func (x *Index) ExtractedText(ctx context.Context, k ledger.TextKey) (cas.Digest, error) {
	doing := fmt.Sprintf("look up the text of %s at %s", k.Digest.Short(), k.Provider)
	if k.Check() != nil {
		return cas.Digest{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	var text cas.Digest
	err := x.pool.QueryRow(call, sqlExtractedText, k.Digest[:], k.Provider, k.Extension).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return cas.Digest{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	if err != nil {
		return cas.Digest{}, fault(ctx, doing, err)
	}
	return text, nil
}

const sqlSetExtractedText = `
with recorded as (
    insert into extracted_texts (digest, provider, extension, text_digest) values ($1, $2, $3, $4)
    on conflict (digest, provider, extension) do update set text_digest = excluded.text_digest, created_at = now()
    returning digest
)
select pg_notify('` + copiesChannel + `', encode(digest, 'hex')) from recorded`

// SetExtractedText implements ledger.Store.
func (x *Index) SetExtractedText(ctx context.Context, k ledger.TextKey, text cas.Digest) error {
	doing := fmt.Sprintf("record the text of %s at %s", k.Digest.Short(), k.Provider)
	if err := k.Check(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	call, cancel := x.bounded(ctx)
	defer cancel()
	if _, err := x.pool.Exec(call, sqlSetExtractedText, k.Digest[:], k.Provider, k.Extension, text[:]); err != nil {
		return fault(ctx, doing, err)
	}
	return nil
}

const sqlTexts = `
select t.text_digest, bool_or(exists (
    select from extracted_texts o
    join blobs b on b.digest = o.digest
    where o.text_digest = t.text_digest and o.digest <> $1 and b.state in ('live', 'suspect')
))
from extracted_texts t
where t.digest = $1 and t.text_digest <> $1
group by t.text_digest
order by t.text_digest`

// Texts implements cas.TextIndex.
func (x *Index) Texts(ctx context.Context, d cas.Digest) ([]cas.ExtractedText, error) {
	call, cancel := x.bounded(ctx)
	defer cancel()
	rows, _ := x.pool.Query(call, sqlTexts, d[:]) // its error comes out of CollectRows
	texts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t cas.ExtractedText, err error) {
		err = row.Scan(&t.Digest, &t.Shared)
		return t, err
	})
	if err != nil {
		return nil, fault(ctx, "look up the texts of "+d.Short(), err)
	}
	return texts, nil
}
