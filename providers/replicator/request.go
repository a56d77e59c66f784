package replicator

import (
	"casgate/cas"
)

// Request asks for a copy.
type Request struct {
	Digest   cas.Digest
	Provider string
	// Purpose is the purpose at the provider. Empty means the provider's one that fits
	// the file best.
	Purpose string
	// Name gives the remote file its name and extension. Empty means the blob's name.
	Name string
	// MediaType is the type that the file's owner declared. Empty means none.
	MediaType string
	// Retry: try a failed copy again.
	Retry bool
	// OperationID becomes the copy's if this request is the first for the copy.
	OperationID string
	// Actor identifies the client. With an Actor, OnEvent gets the operation's end only
	// if the caller leaves before: the call then returns an error that wraps Detached, if
	// the work goes on.
	Actor string
	// File is the name of the requested file, for OnEvent.
	File string
	// Reserve, unless nil, is called before a reference gets a whole text, or the bytes of
	// a blob, of this size into memory. An error ends the work.
	Reserve func(size int64) error
}
