package main

import (
	"context"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

// stored is an argument that names what the gateway has: a blob, by its digest or its
// hash URL, or a file, by its id. At providers a file goes by its own name and media
// type, and a blob by those it was first stored with.
type stored struct {
	blob blobRef
	file fileID // empty: it is the blob
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *stored) UnmarshalText(text []byte) error {
	if cas.IsFileID(string(text)) {
		return s.file.UnmarshalText(text)
	}
	return s.blob.UnmarshalText(text)
}

// String returns what was given.
func (s stored) String() string {
	if s.file != "" {
		return string(s.file)
	}
	return s.blob.String()
}

// at returns it as something that has copies, and refuses a URL of another gateway.
func (s stored) at(gateway *client.Client) (owner, error) {
	if s.file != "" {
		return owner{gateway: gateway, file: string(s.file)}, nil
	}
	d, err := s.blob.digestAt(gateway)
	return owner{gateway: gateway, digest: d}, err
}

// owner is what has copies: a blob at the gateway or, where file is set, a file there.
type owner struct {
	gateway *client.Client
	digest  cas.Digest
	file    string
}

// String names it in a few letters.
func (o owner) String() string {
	if o.file != "" {
		return o.file
	}
	return o.digest.Short()
}

func (o owner) ensureCopy(ctx context.Context, provider string, options client.EnsureOptions) (api.Copy, error) {
	if o.file != "" {
		return o.gateway.EnsureFileCopy(ctx, o.file, provider, options)
	}
	return o.gateway.EnsureCopy(ctx, o.digest, provider, options)
}

func (o owner) copies(ctx context.Context) ([]api.Copy, error) {
	if o.file != "" {
		return o.gateway.FileCopies(ctx, o.file)
	}
	return o.gateway.Copies(ctx, o.digest)
}

func (o owner) deleteCopies(ctx context.Context, provider, purpose string) ([]api.Copy, error) {
	if o.file != "" {
		return o.gateway.DeleteFileCopies(ctx, o.file, provider, purpose)
	}
	return o.gateway.DeleteCopies(ctx, o.digest, provider, purpose)
}

func (o owner) reference(ctx context.Context, provider string, options client.ReferenceOptions) (api.Reference, error) {
	if o.file != "" {
		return o.gateway.FileReference(ctx, o.file, provider, options)
	}
	return o.gateway.Reference(ctx, o.digest, provider, options)
}

func (o owner) text(ctx context.Context, options client.TextOptions) (*client.Content, error) {
	if o.file != "" {
		return o.gateway.FileText(ctx, o.file, options)
	}
	return o.gateway.Text(ctx, o.digest, options)
}
