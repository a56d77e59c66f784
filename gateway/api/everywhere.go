package api

import "casgate/cas"

// FileDeletedEverywhere is the answer of DELETE /v1/files/{id}?everywhere=true. The file
// is deleted; the fields say what else is.
type FileDeletedEverywhere struct {
	FileDeleted
	// Blob is the blob of the file; absent if the bytes of an imported file were not
	// taken in.
	Blob *ReleasedBlob `json:"blob,omitempty" see:"any"`
	// Copies are the copies of the blob at providers. The state is deleted if the
	// provider has confirmed, and deleting if the gateway keeps trying. Copies in other
	// states stay, because the blob stays.
	Copies []Copy `json:"copies" see:"any"`
	// Texts are the texts that providers extracted from the blob, if it was deleted.
	Texts []ReleasedText `json:"texts" see:"any"`
}

// ReleasedText says whether an extracted text was deleted with its blob.
type ReleasedText struct {
	Digest cas.Digest `json:"digest" see:"any"`
	// State is cas.StateCondemned, or BlobKept if files refer to the text, or another blob
	// has the same text.
	State string `json:"state" see:"any"`
}

// ReleasedBlob says whether the blob of a file was deleted with the file.
type ReleasedBlob struct {
	Digest cas.Digest `json:"digest" see:"any"`
	// State is cas.StateCondemned or BlobKept. A condemned blob is unreadable, and the
	// gateway removes its bytes later.
	State string `json:"state" see:"any"`
	// Reason says why the blob was kept.
	Reason string `json:"reason,omitempty" see:"any"`
}

// BlobKept is the state of a blob that was not deleted with its file, because other
// files refer to it, or of a text that something else needs.
const BlobKept = "kept"

// DeletedEverywhere is the answer of DELETE /v1/blobs/{digest}?everywhere=true.
type DeletedEverywhere struct {
	Deleted
	// Copies are deleted, or deleting if the provider has not confirmed yet.
	Copies []Copy `json:"copies" see:"any"`
	// Texts are the texts that providers extracted from the blob.
	Texts []ReleasedText `json:"texts" see:"any"`
}
