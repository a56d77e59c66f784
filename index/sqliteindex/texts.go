package sqliteindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"casgate/cas"
	"casgate/providers/ledger"
)

const sqlExtractedText = `select text_digest from extracted_texts where digest = ? and provider = ? and extension = ?`

// ExtractedText implements ledger.Store.
func (x *Index) ExtractedText(ctx context.Context, k ledger.TextKey) (cas.Digest, error) {
	doing := fmt.Sprintf("look up the text of %s at %s", k.Digest.Short(), k.Provider)
	call, cancel := bounded(ctx)
	defer cancel()
	var text cas.Digest
	err := x.reader.QueryRowContext(call, sqlExtractedText, k.Digest[:], k.Provider, k.Extension).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return cas.Digest{}, fmt.Errorf("%s: %w", doing, ledger.ErrNotFound)
	}
	if err != nil {
		return cas.Digest{}, fault(ctx, doing, err)
	}
	return text, nil
}

const sqlSetExtractedText = `
insert into extracted_texts (digest, provider, extension, text_digest, created_at) values (?, ?, ?, ?, ?)
on conflict (digest, provider, extension) do update set text_digest = excluded.text_digest, created_at = excluded.created_at`

// SetExtractedText implements ledger.Store.
func (x *Index) SetExtractedText(ctx context.Context, k ledger.TextKey, text cas.Digest) error {
	doing := fmt.Sprintf("record the text of %s at %s", k.Digest.Short(), k.Provider)
	if err := k.Check(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := x.exec(ctx, sqlSetExtractedText, k.Digest[:], k.Provider, k.Extension, text[:], now()); err != nil {
		return fault(ctx, doing, err)
	}
	return nil
}

const sqlTexts = `
select t.text_digest, max(exists (
    select 1 from extracted_texts o
    join blobs b on b.digest = o.digest
    where o.text_digest = t.text_digest and o.digest <> ?1 and b.state in ('live', 'suspect')
))
from extracted_texts t
where t.digest = ?1 and t.text_digest <> ?1
group by t.text_digest
order by t.text_digest`

// Texts implements cas.TextIndex.
func (x *Index) Texts(ctx context.Context, d cas.Digest) ([]cas.ExtractedText, error) {
	texts, err := collect(ctx, x, func(row scanner) (t cas.ExtractedText, err error) {
		err = row.Scan(&t.Digest, &t.Shared)
		return t, err
	}, sqlTexts, d[:])
	if err != nil {
		return nil, fault(ctx, "look up the texts of "+d.Short(), err)
	}
	return texts, nil
}
