package client

import (
	"context"

	"casgate/gateway/api"
)

// What follows is for a file what the methods of the same names are for a blob. Where
// the options name no purpose and no name, the file's name and media type decide. The
// bytes of an imported file are taken in first, where that has not been done yet.

// EnsureFileCopy is EnsureCopy for a file's bytes.
func (c *Client) EnsureFileCopy(ctx context.Context, id, provider string, o EnsureOptions) (api.Copy, error) {
	return c.ensureCopy(ctx, filePath(id), provider, o)
}

// FileCopies is Copies for a file's bytes.
func (c *Client) FileCopies(ctx context.Context, id string) ([]api.Copy, error) {
	return c.listCopies(ctx, filePath(id))
}

// DeleteFileCopies is DeleteCopies for a file's bytes: other files that have the same
// bytes share the copies.
func (c *Client) DeleteFileCopies(ctx context.Context, id, provider, purpose string) ([]api.Copy, error) {
	return c.deleteCopies(ctx, filePath(id), provider, purpose)
}

// FileReference is Reference for a file's bytes.
func (c *Client) FileReference(ctx context.Context, id, provider string, o ReferenceOptions) (api.Reference, error) {
	return c.reference(ctx, filePath(id), provider, o)
}

// FileText is Text for a file's bytes.
func (c *Client) FileText(ctx context.Context, id string, o TextOptions) (*Content, error) {
	return c.text(ctx, filePath(id), o)
}

// FileCopyContent is CopyContent for a file's bytes.
func (c *Client) FileCopyContent(ctx context.Context, id, provider string, o CopyOptions) (*CopyContent, error) {
	return c.copyContent(ctx, filePath(id), provider, o)
}
