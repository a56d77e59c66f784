package view

import (
	"casgate/cas"
	"casgate/gateway/api"
)

// Blob shapes a blob.
func Blob(b cas.Blob, urls URLs) api.Blob {
	return api.Blob{
		Digest:    b.Digest,
		Size:      b.Size,
		MediaType: cas.ShownMediaType(b.MediaType),
		Name:      b.Name,
		CreatedAt: b.CreatedAt.UTC(),
		URL:       urls.Blob(b.Digest),
	}
}
