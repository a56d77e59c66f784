package importing

import (
	"context"
	"errors"

	"casgate/cas/importer"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/index/pgindex/pgsource"
)

// OldTable is the table of an old file manager.
type OldTable struct {
	OldDatabaseURL settings.Secret   `kong:"-" secret:"CAS_SOURCE_DATABASE_URL" help:"postgres://… of the old database; it may be a pooler's"`
	Table          string            `name:"table" default:"files" help:"The old table or view, or schema.table." placeholder:"NAME"`
	Map            map[string]string `name:"map" help:"The column of a field, if its name is not that of the field, such as --map sha256=content_hash. May be repeated." placeholder:"FIELD=COLUMN"`
}

// Mapping returns the columns of the table.
func (c OldTable) Mapping() (importer.Mapping, error) {
	m, err := importer.ParseMapping(c.Map)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return m, nil
}

// Open returns the table, with the database of CAS_SOURCE_DATABASE_URL.
func (c OldTable) Open() (*pgsource.Table, error) {
	mapping, err := c.Mapping()
	if err != nil {
		return nil, err
	}
	table, err := pgsource.New(pgsource.Options{URL: c.OldDatabaseURL.Reveal(), Table: c.Table, Mapping: mapping})
	if err != nil {
		return nil, exit.Usagef("%w (from CAS_SOURCE_DATABASE_URL)", err)
	}
	return table, nil
}

// WithExitCode gives an error of an import or a backfill its exit code.
func WithExitCode(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return exit.With(exit.Interrupted, errors.New("stopped; the same command continues from here"))
	case errors.Is(err, importer.ErrMapping):
		return exit.With(exit.Usage, err)
	}
	return err
}
