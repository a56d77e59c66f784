package sqliteindex_test

import (
	"strings"
	"testing"

	"casgate/index/indextest"
	"casgate/index/sqliteindex"
	"casgate/providers/ledger"
)

// What an upload to a full account asks is read from indexes, in their order.
func TestRoomIsReadFromItsIndexes(t *testing.T) {
	t.Parallel()
	x := newTestIndex(t)
	room := ledger.Key{Provider: "kimi", Account: "full", Purpose: "batch"}
	for index, q := range map[string]struct {
		query string
		args  []any
	}{
		"copy_totals USING PRIMARY KEY (account=?)":                                     {sqliteindex.CopyUsageQuery, []any{"full"}},
		"copy_totals USING PRIMARY KEY (account=?) ":                                    {sqliteindex.PurposesQuery, []any{"full", ""}},
		"copies USING INDEX copies_deletes (account=?)":                                 {sqliteindex.DeletesQuery, []any{"full"}},
		"copies USING INDEX copies_used (account=? AND purpose=?)":                      {sqliteindex.LeastUsedQuery, []any{room.Digest[:], room.Provider, room.Account, room.Purpose, "", "batch", 16}},
		"copies USING INDEX copies_expiring (account=? AND purpose=? AND expires_at<?)": {sqliteindex.ExpiredQuery, []any{room.Digest[:], room.Provider, room.Account, room.Purpose, "", "batch", 16, 1}},
	} {
		plan := x.plan(t, q.query, q.args)
		sorts := strings.Contains(plan, "TEMP B-TREE") && q.query != sqliteindex.DeletesQuery // which are few
		if !strings.Contains(plan, "SEARCH "+strings.TrimSpace(index)) || strings.Contains(plan, "SCAN") || sorts {
			t.Errorf("%s\nis read by: %s", q.query, plan)
		}
	}
}

// sqlSeedCopies makes a million ready copies at the account "full", a tenth of them for
// batches. Half of them expire, and half of those have expired.
const sqlSeedCopies = `
with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000)
insert into copies (digest, provider, account, purpose, extension, state, fence, file_id, remote_name, name, media_type, size, attempts, losses, operation_id, created_at, ready_at, last_used_at, expires_at)
select randomblob(32), 'kimi', 'full', case when i % 10 = 0 then 'batch' else 'file-extract' end, '', 'ready', 1, 'f' || i, '', 'a', 'text/plain',
	1000, 0, 0, 'op-' || i, 1, 1, i * 7919 % 1000003 + 1,
	case when i % 2 = 0 then unixepoch() * 1000000 + (i % 1000 - 500) * 3600000000 end
from n`

// A million copies at one account: go test -bench Room.
func BenchmarkRoom(b *testing.B) {
	x := newTestIndex(b)
	x.db.SetMaxOpenConns(1)
	for _, statement := range []string{"pragma cache_size = -1000000", sqlSeedCopies, "pragma wal_checkpoint(truncate)"} {
		if _, err := x.db.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	indextest.BenchmarkRoom(b, x, "full")
}
