package providers

import (
	"slices"

	"casgate/cas"
)

// ReferenceKind is a way to use a blob in a request to a provider.
type ReferenceKind struct {
	// Name is the name in requests, such as image_url or file_id.
	Name string
	// Needs is the material of the reference.
	Needs Need
	// Purpose is the purpose of its copy, if Needs is NeedCopy or NeedText.
	Purpose string
	// Place is where the value stands in the request.
	Place Place
	// Request is the request that the value is for, such as RequestChat.
	Request string
	// Field is the name of the field, if Place is PlaceValue.
	Field string
	// Note is a condition in a few words, such as "PDF only". Optional.
	Note string
	// MaxSize is the maximum size of the blob in bytes, where Needs is NeedURL or
	// NeedBytes; 0 means that the provider states none. A purpose has the limits of copies.
	MaxSize int64
	// MaxSide is the maximum width and height of a picture in pixels, where Needs is
	// NeedURL or NeedBytes; 0 means that the provider states none.
	MaxSide int
}

// WithoutURL returns the first of kinds that is for the same request as k and needs no URL.
func (k ReferenceKind) WithoutURL(kinds []ReferenceKind) (ReferenceKind, bool) {
	i := slices.IndexFunc(kinds, func(other ReferenceKind) bool { return other.Request == k.Request && other.Needs != NeedURL })
	if i < 0 {
		return ReferenceKind{}, false
	}
	return kinds[i], true
}

// Place is where the value of a reference stands in a request.
type Place string

// The places of references.
const (
	PlacePart    Place = "part"    // an element of a message's content
	PlaceMessage Place = "message" // an element of the list of messages
	PlaceValue   Place = "value"   // the value of a field
)

// Requests that several providers take.
const (
	RequestChat      = "POST /chat/completions"
	RequestResponses = "POST /responses"
	RequestBatches   = "POST /batches"
)

// Where says in words where the value goes.
func (k ReferenceKind) Where() string {
	var where string
	switch k.Place {
	case PlacePart:
		where = "an element of a message's content"
	case PlaceMessage:
		where = "an element of messages, before the message that uses it"
	case PlaceValue:
		where = "the value of " + k.Field
	}
	if k.Request != "" {
		where += " in " + k.Request
	}
	if k.Note != "" {
		where += "; " + k.Note
	}
	return where
}

// Need is the material of a reference.
type Need string

// The materials of references.
const (
	NeedCopy Need = "copy" // the id of a ready copy
	NeedText Need = "text" // the text the provider extracted
	NeedURL  Need = "url"  // a URL the provider can read the blob at; no copy at all
	// NeedBytes is the blob's bytes, which stand in the request as base64; no copy at all.
	NeedBytes Need = "bytes"
)

// Material has the values for a reference. Of the first four values only the one
// that its kind needs is set.
type Material struct {
	FileID    string
	Text      string
	URL       string
	Bytes     []byte
	Name      string
	MediaType string
	// Digest is the blob's.
	Digest cas.Digest
}
