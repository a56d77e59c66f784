package api

import "casgate/cas"

// FileDeletedEverywhere is the answer of DELETE /v1/files/{id}?everywhere=true. The
// file is gone; what else is, it says.
type FileDeletedEverywhere struct {
	FileDeleted
	// Blob is what became of the file's bytes; absent where those of an imported file
	// had not been taken in.
	Blob *ReleasedBlob `json:"blob,omitempty"`
	// Copies are the bytes' copies at providers: deleted where the provider has confirmed
	// it, deleting where the gateway goes on trying, and in all other states where they
	// stay, since the blob does.
	Copies []Copy `json:"copies"`
}

// ReleasedBlob is what became of a blob when a file that refers to it was deleted
// everywhere.
type ReleasedBlob struct {
	Digest cas.Digest `json:"digest"`
	// State is cas.StateCondemned: nobody can read it any more, and its bytes go; or
	// BlobKept.
	State string `json:"state"`
	// Reason is why it was kept.
	Reason string `json:"reason,omitempty"`
}

// BlobKept is the state of a blob that was not deleted with its file, since others
// refer to it.
const BlobKept = "kept"

// DeletedEverywhere is the answer of DELETE /v1/blobs/{digest}?everywhere=true.
type DeletedEverywhere struct {
	Deleted
	// Copies are deleted, or deleting where a provider has not confirmed it yet.
	Copies []Copy `json:"copies"`
}
