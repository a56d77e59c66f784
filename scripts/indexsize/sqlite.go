package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"casgate/index/sqliteindex"
)

type sqlite struct {
	*sqliteindex.Index
	folder, path string
}

func openSQLite(ctx context.Context) (subject, error) {
	folder, err := os.MkdirTemp("", "casgate-size-")
	if err != nil {
		return nil, err
	}
	s := &sqlite{folder: folder, path: filepath.Join(folder, "index.sqlite")}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

func (s *sqlite) open(ctx context.Context) (err error) {
	if s.Index, err = sqliteindex.Open(ctx, s.path); err == nil {
		err = s.Migrate(ctx)
	}
	return err
}

// fill makes the rows with SQLite itself, without waiting for the disk.
func (s *sqlite) fill(ctx context.Context, n counts) error {
	s.Close()
	s.Index = nil
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, pragma := range []string{"pragma synchronous = off", "pragma cache_size = -2000000", "pragma foreign_keys = off"} {
		if _, err := db.ExecContext(ctx, pragma); err != nil {
			return err
		}
	}
	start := time.Now().Add(-400 * 24 * time.Hour).UnixMicro()
	const steps = 10_000 // microseconds between two blobs
	err = inBatches(ctx, db, n.blobs, `insert into blobs (digest, size, media_type, name, generation, state, files, created_at, touched_at) values (?, ?, 'application/pdf', ?, 0, 'live', ?, ?, ?)`, func(i int) []any {
		d, files := digestOf(i), 0
		if i <= n.files {
			files = 1
		}
		at := start + int64(i)*steps
		return []any{d[:], 1<<20 + i, fmt.Sprintf("document-%d.pdf", i), files, at, at}
	})
	if err != nil {
		return err
	}
	err = inBatches(ctx, db, n.files, `insert into files (id, digest, size, name, media_type, purpose, context, tags, metadata, created_at, origin_key, origin_provider, origin_file_id, origin_error) values (?, ?, ?, ?, 'application/pdf', 'user_data', '', '[]', '{}', ?, '', '', '', '')`, func(i int) []any {
		d := digestOf(i)
		return []any{remoteID(i), d[:], 1<<20 + i, fmt.Sprintf("document-%d.pdf", i), start + int64(i)*steps}
	})
	if err != nil {
		return err
	}
	return errors.Join(s.finish(ctx, db), db.Close(), s.open(ctx))
}

// remoteID is an id of a file.
func remoteID(i int) string {
	d := digestOf(-i)
	return "file-" + hex.EncodeToString(d[:13])
}

func (s *sqlite) finish(ctx context.Context, db *sql.DB) error {
	for _, statement := range []string{"analyze", "pragma wal_checkpoint(truncate)"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// inBatches inserts rows 1 to n, many in a transaction.
func inBatches(ctx context.Context, db *sql.DB, n int, insert string, row func(i int) []any) error {
	const batch = 200_000
	for i := 1; i <= n; {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		prepared, err := tx.PrepareContext(ctx, insert)
		for last := min(n, i+batch-1); err == nil && i <= last; i++ {
			_, err = prepared.ExecContext(ctx, row(i)...)
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// sizes returns what each table takes with its indexes, by counting pages.
func (s *sqlite) sizes(ctx context.Context) ([]tableSize, error) {
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var all []tableSize
	for _, table := range []string{"blobs", "files"} {
		one := tableSize{table: table}
		err := db.QueryRowContext(ctx, `select
			(select count(*) from `+table+`),
			(select coalesce(sum(pgsize), 0) from dbstat where aggregate = true and name in (select name from sqlite_schema where tbl_name = ?1 and type = 'table')),
			(select coalesce(sum(pgsize), 0) from dbstat where aggregate = true and name in (select name from sqlite_schema where tbl_name = ?1 and type = 'index'))`, table).
			Scan(&one.rows, &one.rowBytes, &one.indexBytes)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (s *sqlite) remove() error {
	if s.Index != nil {
		s.Close()
	}
	return os.RemoveAll(s.folder)
}
