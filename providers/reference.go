package providers

// ReferenceKind is a way to use a blob in a request to a provider.
type ReferenceKind struct {
	// Name is what callers choose it by, such as image_url or file_id.
	Name string
	// Needs is what it is made of.
	Needs Need
	// Purpose is what a copy for it must be stored for, where Needs is NeedCopy or
	// NeedText.
	Purpose string
	// Where says in a few words where in a request it goes.
	Where string
}

// Need is what a reference is made of.
type Need string

// What references are made of.
const (
	NeedCopy Need = "copy" // the id of a ready copy
	NeedText Need = "text" // the text the provider extracted
	NeedURL  Need = "url"  // a URL the provider can read the blob at; no copy at all
)

// Material is what a reference is built from; only what its kind needs is set.
type Material struct {
	FileID    string
	Text      string
	URL       string
	Name      string
	MediaType string
}
