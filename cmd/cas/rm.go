package main

import (
	"context"
	"errors"
	"fmt"

	"casgate/cas"
)

// rmCmd deletes blobs.
type rmCmd struct {
	clientConfig

	Blobs []blobRef `arg:"" name:"digest" help:"Digests, or hash URLs of this gateway."`
	Force bool      `help:"Delete even those that files refer to."`
}

// Run deletes the blobs, one after the other.
func (c *rmCmd) Run(ctx context.Context, std stdio) error {
	gateway, err := c.connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	digests := make([]cas.Digest, len(c.Blobs))
	for i, ref := range c.Blobs { // all are looked at before any is deleted
		if digests[i], err = ref.digestAt(gateway); err != nil {
			return err
		}
	}
	var blobs tally
	for _, d := range digests {
		err := gateway.Delete(ctx, d, c.Force)
		if concernsAll(ctx, err) {
			return advise(err)
		}
		blobs.add(err)
		switch {
		case errors.Is(err, cas.ErrBlobInUse):
			printError(std.err, d.String(), fmt.Errorf("%w; --force deletes it all the same", err))
		case err != nil:
			printError(std.err, d.String(), err)
		default:
			if _, err := fmt.Fprintf(std.out, "%s deleted\n", d); err != nil {
				return err
			}
		}
	}
	return blobs.err(ctx)
}
