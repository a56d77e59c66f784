package providers

// ReferenceKind is a way to use a blob in a request to a provider.
type ReferenceKind struct {
	// Name is the name in requests, such as image_url or file_id.
	Name string
	// Needs is the material of the reference.
	Needs Need
	// Purpose is the purpose of its copy, if Needs is NeedCopy or NeedText.
	Purpose string
	// Where says in a few words to which part of a request it belongs.
	Where string
	// MaxSize is the maximum size of the blob in bytes, where Needs is NeedURL; 0 means
	// that the provider states none. A purpose has the limits of copies.
	MaxSize int64
	// MaxSide is the maximum width and height of a picture in pixels, where Needs is
	// NeedURL; 0 means that the provider states none.
	MaxSide int
}

// Need is the material of a reference.
type Need string

// The materials of references.
const (
	NeedCopy Need = "copy" // the id of a ready copy
	NeedText Need = "text" // the text the provider extracted
	NeedURL  Need = "url"  // a URL the provider can read the blob at; no copy at all
)

// Material has the values for a reference. Only the value that its kind needs is set.
type Material struct {
	FileID    string
	Text      string
	URL       string
	Name      string
	MediaType string
}
