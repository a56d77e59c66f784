package client

import (
	"context"
	"net/http"

	"casgate/gateway/api"
)

// File is a handle for one file: its methods ask the gateway about it. A handle costs
// nothing, and the file need not exist. If an imported file's bytes are still at their
// origin, methods that need the bytes take them in first.
type File struct {
	Owner
	id string
}

// File returns a handle for the file of an id. It sends nothing.
func (c *Client) File(id string) File {
	return File{Owner{c, filePath(id)}, id}
}

// ID returns the id of the file.
func (f File) ID() string { return f.id }

// Meta returns what the gateway knows of the file.
func (f File) Meta(ctx context.Context) (api.File, error) {
	var file api.File
	err := f.client.doJSON(ctx, &request{method: http.MethodGet, path: f.path, mayRetry: always}, &file)
	return file, err
}

// Open opens the bytes of the file from an offset on, as Blob.Open does.
func (f File) Open(ctx context.Context, offset int64) (*Content, error) {
	r := &request{method: http.MethodGet, path: f.path + "/content", header: identityHeader(), mayRetry: always, patient: true}
	return f.client.openTagged(ctx, r, byteRange{offset: offset})
}

// Delete deletes the file; its blob stays. It is not retried, like Blob.Delete.
func (f File) Delete(ctx context.Context) error {
	return f.client.doJSON(ctx, &request{method: http.MethodDelete, path: f.path}, &api.FileDeleted{})
}

// DeleteEverywhere deletes the file, its blob, and the copies of the blob at all
// providers. If other files refer to the blob, the blob and its copies stay, and the
// answer says so.
//
// It waits until the providers have confirmed, or ctx ends, or as the options say; the
// gateway continues then. If both an answer and an error are returned, the file is deleted, and the
// error is about copies that are left. A delete that was interrupted can be repeated.
// It is not retried, like Blob.Delete.
func (f File) DeleteEverywhere(ctx context.Context, o EverywhereOptions) (api.FileDeletedEverywhere, error) {
	var answer api.FileDeletedEverywhere
	if err := f.client.doJSON(ctx, everywhereRequest(ctx, f.path, o), &answer); err != nil {
		return answer, err
	}
	return answer, f.client.confirmDeletes(ctx, answer.Copies, o)
}
