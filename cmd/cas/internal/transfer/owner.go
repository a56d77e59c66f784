package transfer

import (
	"context"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// Owner is what has copies: a blob at the gateway or, if File is set, a file there.
type Owner struct {
	Gateway *client.Client
	Digest  cas.Digest
	File    string
}

// OwnerOf returns the blob or file that an argument names. A URL of another gateway is
// an error.
func OwnerOf(gateway *client.Client, of argument.Stored) (Owner, error) {
	if of.File != "" {
		return Owner{Gateway: gateway, File: string(of.File)}, nil
	}
	d, err := of.Blob.DigestAt(gateway)
	return Owner{Gateway: gateway, Digest: d}, err
}

// String names it in a few letters.
func (o Owner) String() string {
	if o.File != "" {
		return o.File
	}
	return o.Digest.Short()
}

// EnsureCopy makes sure of a copy at a provider.
func (o Owner) EnsureCopy(ctx context.Context, provider string, options client.EnsureOptions) (api.Copy, error) {
	if o.File != "" {
		return o.Gateway.EnsureFileCopy(ctx, o.File, provider, options)
	}
	return o.Gateway.EnsureCopy(ctx, o.Digest, provider, options)
}

// Copies returns its copies.
func (o Owner) Copies(ctx context.Context) ([]api.Copy, error) {
	if o.File != "" {
		return o.Gateway.FileCopies(ctx, o.File)
	}
	return o.Gateway.Copies(ctx, o.Digest)
}

// DeleteCopies deletes its copies at a provider; with a purpose only those of that purpose.
func (o Owner) DeleteCopies(ctx context.Context, provider, purpose string) ([]api.Copy, error) {
	if o.File != "" {
		return o.Gateway.DeleteFileCopies(ctx, o.File, provider, purpose)
	}
	return o.Gateway.DeleteCopies(ctx, o.Digest, provider, purpose)
}

// Reference returns a reference for requests to a provider.
func (o Owner) Reference(ctx context.Context, provider string, options client.ReferenceOptions) (api.Reference, error) {
	if o.File != "" {
		return o.Gateway.FileReference(ctx, o.File, provider, options)
	}
	return o.Gateway.Reference(ctx, o.Digest, provider, options)
}

// Text returns the text that a provider extracts.
func (o Owner) Text(ctx context.Context, options client.TextOptions) (*client.Content, error) {
	if o.File != "" {
		return o.Gateway.FileText(ctx, o.File, options)
	}
	return o.Gateway.Text(ctx, o.Digest, options)
}
