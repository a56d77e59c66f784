package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
)

// migrateCmd looks after the index's schema.
type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply the missing migrations. Safe to run twice, and by several processes at once."`
	Status migrateStatusCmd `cmd:"" help:"List the migrations and their state."`
}

type migrateUpCmd struct {
	wiring.LocalIndex
	JSON bool `name:"json" help:"Print a JSON object."`
}

// Run applies what is missing and says where the schema stands.
func (c *migrateUpCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.OpenOrMakeAnySchema(ctx, std)
	if err != nil {
		return err
	}
	defer x.Close()
	if err := x.Migrate(ctx); err != nil {
		return err
	}
	status, err := x.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	version := status[len(status)-1].Version
	if c.JSON {
		return terminal.PrintJSON(std.Out, schemaVersion{c.Describe(), version})
	}
	_, err = fmt.Fprintf(std.Out, "%s is at version %d\n", c.Describe(), version)
	return err
}

// schemaVersion is the JSON of a schema that is up to date.
type schemaVersion struct {
	Index   string `json:"index"`
	Version int64  `json:"version"`
}

type migrateStatusCmd struct {
	wiring.LocalIndex
	JSON bool `name:"json" help:"Print a JSON object for each migration."`
}

// migrationJSON is the JSON of a migration.
type migrationJSON struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	Applied   bool       `json:"applied"`
	AppliedAt *time.Time `json:"applied_at"` // null: not applied
}

// Run prints a table of migrations.
func (c *migrateStatusCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.OpenAnySchema(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	status, err := x.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		for _, s := range status {
			line := migrationJSON{Version: s.Version, Name: s.Name, Applied: s.Applied}
			if s.Applied {
				line.AppliedAt = new(s.AppliedAt.UTC())
			}
			if err := terminal.PrintJSON(std.Out, line); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tNAME\tAPPLIED")
	for _, s := range status {
		applied := "no"
		if s.Applied {
			applied = s.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", s.Version, s.Name, applied)
	}
	return w.Flush()
}
