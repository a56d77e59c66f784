package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
)

// signingKeyCmd manages the keys that sign hash URLs, on the index itself.
type signingKeyCmd struct {
	Ls     signingKeyLsCmd     `cmd:"" help:"List the keys in use, newest first, without their secrets."`
	Rotate signingKeyRotateCmd `cmd:"" help:"Make a new key for new URLs. URLs signed by older keys stay valid."`
	Retire signingKeyRetireCmd `cmd:"" help:"Retire a key: URLs signed by it stop working within thirty seconds."`
}

type signingKeyLsCmd struct {
	wiring.LocalIndex
}

// Run prints a table.
func (c *signingKeyLsCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.Open(ctx)
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
	wiring.LocalIndex
}

// Run adds a key and prints its id.
func (c *signingKeyRotateCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	key := access.NewSigningKey()
	err = wiring.Record(x, std, &journal.Record{ID: key.ID, Kind: journal.KindKeyMade}, func() error { return x.AddSigningKey(ctx, key) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.Out, key.ID)
	return err
}

type signingKeyRetireCmd struct {
	wiring.LocalIndex
	ID string `arg:"" name:"id" help:"Id of the key, as cas signing-key ls shows it."`
}

// Run retires the key.
func (c *signingKeyRetireCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	err = wiring.Record(x, std, &journal.Record{ID: c.ID, Kind: journal.KindKeyEnded}, func() error { return x.RetireSigningKey(ctx, c.ID) })
	if err != nil {
		if errors.Is(err, access.ErrKeyNotFound) {
			return exit.With(exit.NotFound, fmt.Errorf("%w; `cas signing-key ls` lists the ids", err))
		}
		return err
	}
	_, err = fmt.Fprintln(std.Out, "retired", c.ID)
	return err
}
