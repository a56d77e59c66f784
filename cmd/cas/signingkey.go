package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
)

// signingKeyCmd manages the keys that sign hash URLs, on the index itself.
type signingKeyCmd struct {
	Ls     signingKeyLsCmd     `cmd:"" help:"List the keys in use, newest first, without their secrets."`
	Rotate signingKeyRotateCmd `cmd:"" help:"Make a new key, which signs from now on. URLs signed by older ones stay good."`
	Retire signingKeyRetireCmd `cmd:"" help:"Retire a key: URLs signed by it stop working within thirty seconds."`
}

type signingKeyLsCmd struct {
	settings.Data
	settings.Index
}

// Run prints a table.
func (c *signingKeyLsCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := openCurrentIndex(ctx, c.Index, c.Data, zerolog.Nop())
	if err != nil {
		return err
	}
	defer x.Close()
	keys, err := x.SigningKeys(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCREATED")
	for _, k := range keys {
		fmt.Fprintf(w, "%s\t%s\n", k.ID, terminal.Time(k.CreatedAt, "-"))
	}
	return w.Flush()
}

type signingKeyRotateCmd struct {
	settings.Data
	settings.Index
}

// Run adds a key and prints its id.
func (c *signingKeyRotateCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := openCurrentIndex(ctx, c.Index, c.Data, zerolog.Nop())
	if err != nil {
		return err
	}
	defer x.Close()
	key := access.NewSigningKey()
	start := time.Now()
	err = x.AddSigningKey(ctx, key)
	recordOwn(x, std, journal.Record{ID: key.ID, Kind: journal.KindKeyMade}, start, err)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.Out, key.ID)
	return err
}

type signingKeyRetireCmd struct {
	settings.Data
	settings.Index
	ID string `arg:"" name:"id" help:"Id of the key, as cas signing-key ls shows it."`
}

// Run retires the key.
func (c *signingKeyRetireCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := openCurrentIndex(ctx, c.Index, c.Data, zerolog.Nop())
	if err != nil {
		return err
	}
	defer x.Close()
	start := time.Now()
	err = x.RetireSigningKey(ctx, c.ID)
	recordOwn(x, std, journal.Record{ID: c.ID, Kind: journal.KindKeyEnded}, start, err)
	if err != nil {
		if errors.Is(err, access.ErrKeyNotFound) {
			return exit.With(exit.NotFound, fmt.Errorf("%w; `cas signing-key ls` lists the ids", err))
		}
		return err
	}
	_, err = fmt.Fprintln(std.Out, "retired", c.ID)
	return err
}
