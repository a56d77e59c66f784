package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

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
	JSON bool `name:"json" help:"Print a JSON object for each key."`
}

// signingKeyJSON is the JSON of a key, without its secret.
type signingKeyJSON struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
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
	if c.JSON {
		for _, k := range keys {
			if err := terminal.PrintJSON(std.Out, signingKeyJSON{k.ID, k.CreatedAt.UTC()}); err != nil {
				return err
			}
		}
		return nil
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
	JSON bool `name:"json" help:"Print a JSON object."`
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
	if c.JSON {
		return terminal.PrintJSON(std.Out, signingKeyJSON{key.ID, key.CreatedAt.UTC()})
	}
	_, err = fmt.Fprintln(std.Out, key.ID)
	return err
}

type signingKeyRetireCmd struct {
	wiring.LocalIndex
	ID   string `arg:"" name:"id" help:"Id of the key, as cas signing-key ls shows it."`
	JSON bool   `name:"json" help:"Print a JSON object."`
}

// retiredKey is the JSON of a key that was retired.
type retiredKey struct {
	ID      string `json:"id"`
	Retired bool   `json:"retired"`
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
	if c.JSON {
		return terminal.PrintJSON(std.Out, retiredKey{c.ID, true})
	}
	_, err = fmt.Fprintln(std.Out, "retired", c.ID)
	return err
}
