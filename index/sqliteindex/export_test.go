package sqliteindex

import (
	"context"
	"testing"

	"casgate/cas"
)

// ExecWriter runs a statement on the writer's connection.
func (x *Index) ExecWriter(ctx context.Context, statement string) error {
	_, err := x.writer.ExecContext(ctx, statement)
	return err
}

// ListRecordsQuery and RecordQuery are queries that a test explains.
var (
	ListRecordsQuery = listRecords
	RecordQuery      = sqlRecord
)

// ListFilesQuery is another.
func ListFilesQuery(t testing.TB, q cas.FileQuery) (query string, args []any) {
	t.Helper()
	metadata, err := decodeMetadata(q.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	return listFiles(q, fileFilter{tag: q.Tag, metadata: metadata})
}

// The queries that an upload to a full account makes, which a test explains.
var (
	PurposesQuery  = sqlPurposes
	LeastUsedQuery = sqlLeastUsed
	ExpiredQuery   = sqlExpired
	CopyUsageQuery = sqlCopyUsage
	DeletesQuery   = sqlDeletes
)
