// Package pgsource reads the table in which an old file manager noted its files.
//
// It reads in one read-only transaction, through a cursor on the server: any number
// of rows takes no memory here, and all of them are as of one moment. Directly or
// through a pooler in transaction mode makes no difference. Only WriteDigests
// writes.
package pgsource

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"casgate/cas"
	"casgate/cas/importer"
)

const (
	connectTimeout = 10 * time.Second
	// fetchRows is how many rows come in one answer.
	fetchRows = 500
)

// Options says which table to read.
type Options struct {
	// URL is that of the database, postgres://…; it may name a pooler.
	URL string
	// Table is the name of a table or view, or schema.name.
	Table string
	// Mapping says which columns have the fields.
	Mapping importer.Mapping
}

// Table is the old manager's table. It is safe for concurrent use.
type Table struct {
	config  *pgx.ConnConfig
	table   pgx.Identifier
	mapping importer.Mapping
}

// ErrURL is the only error for a URL that can't be parsed. It shows no part of the
// URL, since the end of its password is not known.
var ErrURL = errors.New("the URL of the old database must look like postgres://user:password@host:5432/database, with every special character inside a part percent-encoded")

// New returns the table. It sends nothing. Errors wrap ErrURL.
func New(o Options) (*Table, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil || !strings.HasPrefix(o.URL, "postgres://") && !strings.HasPrefix(o.URL, "postgresql://") {
		return nil, ErrURL
	}
	// No prepared statements, which a pooler would not find again.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "casgate import"
	}
	return &Table{config, pgx.Identifier(strings.Split(o.Table, ".")), o.Mapping}, nil
}

// Rows implements importer.Rows. Errors: those of importer.Mapping.Match;
// everything that is the database's wraps cas.ErrOriginUnavailable. An error never
// has the password in it.
func (t *Table) Rows(ctx context.Context) iter.Seq2[importer.Row, error] {
	return func(yield func(importer.Row, error) bool) {
		err := t.inTransaction(ctx, pgx.ReadOnly, func(tx pgx.Tx) error { return t.read(ctx, tx, yield) })
		if err != nil && !errors.Is(err, errEnough) {
			yield(importer.Row{}, err)
		}
	}
}

// errEnough ends a read when the caller wants no more rows.
var errEnough = errors.New("enough")

// read reads all rows.
func (t *Table) read(ctx context.Context, tx pgx.Tx, yield func(importer.Row, error) bool) error {
	columns, err := t.columns(ctx, tx)
	if err != nil {
		return err
	}
	// Every column as text, whatever its type: an import reads a CSV file and a table
	// in the same way.
	selected := make([]string, len(columns))
	for i, c := range columns {
		selected[i] = pgx.Identifier{c.Name}.Sanitize() + "::text"
	}
	for _, statement := range []string{
		"set local timezone = 'UTC'",
		"set local datestyle = 'ISO'",
		"declare old_files no scroll cursor for select " + strings.Join(selected, ", ") + " from " + t.table.Sanitize(),
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return t.fault(ctx, err)
		}
	}
	for {
		rows, err := fetch(ctx, tx, columns)
		if err != nil {
			return t.fault(ctx, err)
		}
		for _, row := range rows {
			if !yield(row, nil) {
				return errEnough
			}
		}
		if len(rows) < fetchRows {
			return nil
		}
	}
}

// fetch reads the next rows of the cursor.
func fetch(ctx context.Context, tx pgx.Tx, columns []importer.Column) ([]importer.Row, error) {
	// An error of Query comes out of CollectRows.
	rows, _ := tx.Query(ctx, fmt.Sprintf("fetch %d from old_files", fetchRows))
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (importer.Row, error) {
		texts := make([]*string, len(columns))
		targets := make([]any, len(columns))
		for i := range texts {
			targets[i] = &texts[i]
		}
		if err := r.Scan(targets...); err != nil {
			return importer.Row{}, err
		}
		var row importer.Row
		for i, c := range columns {
			if texts[i] != nil {
				row.Set(c.Field, *texts[i])
			}
		}
		return row, nil
	})
}

// columns finds the fields among the table's columns.
func (t *Table) columns(ctx context.Context, tx pgx.Tx) ([]importer.Column, error) {
	rows, err := tx.Query(ctx, "select * from "+t.table.Sanitize()+" limit 0")
	if err != nil {
		return nil, t.fault(ctx, err)
	}
	var names []string
	for _, d := range rows.FieldDescriptions() {
		names = append(names, d.Name)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, t.fault(ctx, err)
	}
	return t.mapping.Match(names)
}

// Count returns how many rows there are, for a progress bar. Errors are those of
// Rows.
func (t *Table) Count(ctx context.Context) (n int64, err error) {
	err = t.inTransaction(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "select count(*) from "+t.table.Sanitize()).Scan(&n); err != nil {
			return t.fault(ctx, err)
		}
		return nil
	})
	return n, err
}

// inTransaction does something over a connection of its own, in one transaction.
func (t *Table) inTransaction(ctx context.Context, mode pgx.TxAccessMode, do func(pgx.Tx) error) error {
	conn, err := pgx.ConnectConfig(ctx, t.config.Copy())
	if err != nil {
		return t.fault(ctx, err)
	}
	// The transaction ends with the connection, where nothing else has ended it.
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: mode})
	if err != nil {
		return t.fault(ctx, err)
	}
	if err := do(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return t.fault(ctx, err)
	}
	return nil
}

const codeUndefinedTable = "42P01"

// fault says that the database is to blame. The driver's error is kept as text
// only: its time-outs must not look like the caller's.
func (t *Table) fault(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("the old table: %w: %w", cas.ErrOriginUnavailable, cause)
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == codeUndefinedTable {
		return fmt.Errorf("%w: there is no table %s in the old database; --table names another, or schema.table", importer.ErrMapping, t.table.Sanitize())
	}
	return fmt.Errorf("the old table: %w: %v", cas.ErrOriginUnavailable, err)
}
