package replicator

import (
	"casgate/cas"
)

// Request asks for a copy.
type Request struct {
	Digest   cas.Digest
	Provider string
	// Purpose at the provider; empty means the provider's default for the blob's media
	// type.
	Purpose string
	// Name decides the remote file's name and extension; empty means the blob's.
	Name string
	// Retry: try again what was given up.
	Retry bool
	// OperationID becomes the copy's where this request is what makes it wanted.
	OperationID string
	// Actor is who asks. Where it is given, OnEvent isn't told of what the request's
	// operation comes to unless the caller leaves before: a call that is left, whose
	// work goes on, returns an error that wraps Detached.
	Actor string
	// File names the file that is asked by, for OnEvent.
	File string
}
