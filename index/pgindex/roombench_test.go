package pgindex_test

import (
	"testing"

	"casgate/cas/castest"
	"casgate/index/indextest"
	"casgate/index/pgindex"
	"casgate/index/pgindex/pgtest"
	"casgate/providers/ledger"
)

// sqlSeedCopies makes $1 ready copies at the account "full", a tenth of them for batches.
// Half of them expire, and half of those have expired.
const sqlSeedCopies = `
insert into copies (digest, provider, account, purpose, extension, state, fence, file_id, name, media_type, size, operation_id, ready_at, last_used_at, expires_at)
select sha256(('copy' || i)::bytea), 'kimi', 'full', case when i % 10 = 0 then 'batch' else 'file-extract' end, '', 'ready', 1, 'f' || i, 'a', 'text/plain',
    1000, 'op-' || i, now() - interval '30 days', now() - interval '1 day' * (i::bigint * 7919 % 1000003) / 100000.0,
    case when i % 2 = 0 then now() + interval '1 hour' * (i % 1000 - 500) end
from generate_series(1, $1::integer) as i`

func seedCopies(t testing.TB, x testIndex, copies int) {
	t.Helper()
	if _, err := x.db.Exec(t.Context(), sqlSeedCopies, copies); err != nil {
		t.Fatal(err)
	}
	if _, err := x.db.Exec(t.Context(), "vacuum analyze copies"); err != nil {
		t.Fatal(err)
	}
}

// What an upload to a full account asks costs the same however many copies the account has.
func TestRoomCostsTheSame(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t, pgtest.New(t))
	seedCopies(t, x, castest.Thorough(50_000, 20_000))
	room := ledger.Key{Provider: "kimi", Account: "full", Purpose: "batch"}
	for name, q := range map[string]struct {
		query string
		args  []any
	}{
		"usage":                     {pgindex.CopyUsageQuery, []any{"full"}},
		"deletes":                   {pgindex.DeletesQuery, []any{"full"}},
		"least used":                {pgindex.LeastUsedQuery, []any{room.Digest[:], room.Provider, room.Account, room.Purpose, "", "", 16}},
		"least used of one purpose": {pgindex.LeastUsedQuery, []any{room.Digest[:], room.Provider, room.Account, room.Purpose, "", "batch", 16}},
		"expired":                   {pgindex.ExpiredQuery, []any{room.Digest[:], room.Provider, room.Account, room.Purpose, "", "", 16}},
		"expired of one purpose":    {pgindex.ExpiredQuery, []any{room.Digest[:], room.Provider, room.Account, room.Purpose, "", "batch", 16}},
	} {
		x.explain(t, q.query, q.args...).each(func(p plan) {
			if p.Rows+p.Filtered > 100 {
				t.Errorf("%s: a %s reads %v rows", name, p.Node, p.Rows+p.Filtered)
			}
		})
	}
}

// A million copies at one account: go test -bench Room.
func BenchmarkRoom(b *testing.B) {
	x := newTestIndex(b, pgtest.New(b))
	seedCopies(b, x, 1_000_000)
	indextest.BenchmarkRoom(b, x, "full")
}
