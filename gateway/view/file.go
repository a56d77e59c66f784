package view

import (
	"encoding/hex"
	"encoding/json"

	"casgate/cas"
	"casgate/gateway/api"
)

// BytesDeleted says what is wrong with a file whose blob was deleted.
const BytesDeleted = "The bytes of this file were deleted. Uploading the same bytes again brings them back."

// MarkDeleted gives a file the status of one whose blob was deleted.
func MarkDeleted(file *api.File) { file.Status, file.StatusDetails = api.FileFailed, BytesDeleted }

// File shapes a file.
func File(f cas.File, urls URLs) api.File {
	file := api.File{
		ID:        f.ID,
		Object:    api.ObjectFile,
		Bytes:     max(0, f.Size),
		CreatedAt: f.CreatedAt.Unix(),
		Filename:  f.Name,
		Purpose:   f.Purpose,
		Status:    api.FileProcessed,
		MediaType: cas.ShownMediaType(f.MediaType),
		Context:   f.Context,
		OnExpiry:  f.OnExpiry,
		Tags:      f.Tags,
		Metadata:  f.Metadata,
	}
	if !f.IsPending() {
		sum := hex.EncodeToString(f.Digest[:])
		file.SHA256, file.URL = &sum, urls.Blob(f.Digest)
	} else if f.Origin != nil && f.Origin.Error != "" {
		file.Status, file.StatusDetails = api.FileFailed, f.Origin.Error
	}
	if !f.ExpiresAt.IsZero() {
		file.ExpiresAt = f.ExpiresAt.Unix()
	}
	if !f.AccessedAt.IsZero() {
		file.LastAccessedAt = f.AccessedAt.Unix()
	}
	if file.Tags == nil {
		file.Tags = []string{}
	}
	if len(file.Metadata) == 0 {
		file.Metadata = json.RawMessage("{}")
	}
	return file
}
