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
}

// Run applies what is missing and says where the schema stands.
func (c *migrateUpCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.OpenAnySchema(ctx)
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
	_, err = fmt.Fprintf(std.Out, "%s is at version %d\n", c.Describe(), status[len(status)-1].Version)
	return err
}

type migrateStatusCmd struct {
	wiring.LocalIndex
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
