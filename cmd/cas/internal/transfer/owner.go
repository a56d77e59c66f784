package transfer

import (
	"context"

	"casgate/cas"
	"casgate/cmd/cas/internal/argument"
	"casgate/gateway/client"
)

// Owner is a blob or a file at the gateway, which may have copies at providers.
type Owner struct {
	client.Owner
	name string
}

// OwnerOf returns the blob or file that an argument names. A URL of another gateway is
// an error.
func OwnerOf(ctx context.Context, gateway *client.Client, of argument.Stored) (Owner, error) {
	if of.File != "" {
		return FileOwner(gateway, string(of.File)), nil
	}
	d, err := of.Blob.DigestAt(ctx, gateway)
	return BlobOwner(gateway, d), err
}

// BlobOwner returns the blob of a digest.
func BlobOwner(gateway *client.Client, d cas.Digest) Owner {
	return Owner{gateway.Blob(d).Owner, d.Short()}
}

// FileOwner returns the file of an id.
func FileOwner(gateway *client.Client, id string) Owner {
	return Owner{gateway.File(id).Owner, id}
}

// String names it in a few letters.
func (o Owner) String() string { return o.name }
