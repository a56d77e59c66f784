package cas

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// File is a named reference to a blob. Many files may refer to one.
type File struct {
	// ID is short and opaque, see NewFileID.
	ID string
	// Digest is the blob's. It is zero until an imported file's bytes are taken in, see
	// Origin.
	Digest Digest
	Size   int64 // bytes; -1 if the size of an imported file is not known yet

	Name      string
	MediaType string
	// Purpose is what the file is for: one of Purposes, or one of a provider.
	Purpose string
	// Context is the caller's name for a group of files: a conversation, a project.
	Context string
	// Tags are labels without duplicates. Their order has no meaning.
	Tags []string
	// Metadata is a JSON object of the caller's; empty means {}.
	Metadata json.RawMessage

	CreatedAt  time.Time
	AccessedAt time.Time // zero: never read
	ExpiresAt  time.Time // zero: never
	// OnExpiry says what goes when the file expires: OnExpiryFile or OnExpiryEverywhere.
	OnExpiry string

	// Origin says where an imported file came from; nil for all other files.
	Origin *Origin
}

// Origin says where an imported file's bytes are until they are taken in.
type Origin struct {
	// Source names the bucket or folder, and Key the object or file in it.
	Source string `json:"source"`
	Key    string `json:"key"`
	// Digest is the one that the old manager recorded; zero if it recorded none. It is
	// not trusted.
	Digest Digest `json:"digest,omitzero"`
	// Provider and ProviderFileID are the copy that the old manager recorded; empty if
	// it recorded none. The copy is verified before its first use.
	Provider       string `json:"provider,omitempty"`
	ProviderFileID string `json:"provider_file_id,omitempty"`
	// Error says why the last attempt to take the bytes in failed; empty if none failed.
	Error string `json:"error,omitempty"`
}

// IsPending reports whether the file's bytes have yet to be taken in.
func (f File) IsPending() bool { return f.Digest.IsZero() }

// The errors of files.
var (
	// ErrFileNotFound: there is no such file, or it has expired.
	ErrFileNotFound = errors.New("file not found")
	// ErrDuplicateFile: another file has the same bytes.
	ErrDuplicateFile = errors.New("duplicate file")
	// ErrInvalidFile: a field of a file can't be stored. The error is an *InvalidField.
	ErrInvalidFile = errors.New("invalid file")
	// ErrOriginUnavailable: an imported file's bytes can't be read from its source.
	ErrOriginUnavailable = errors.New("origin unavailable")
)

// InvalidField is an ErrInvalidFile that names the field.
type InvalidField struct {
	Field   string // as in the JSON of a file
	Problem string
}

// Error implements error.
func (e *InvalidField) Error() string { return e.Field + " " + e.Problem }

// Is makes an InvalidField an ErrInvalidFile.
func (e *InvalidField) Is(target error) bool { return target == ErrInvalidFile }

// Purposes are the purposes that every gateway takes: OpenAI's, and those of providers. A
// gateway also takes those of the providers that are configured.
var Purposes = []string{
	"assistants", "batch", "evals", "fine-tune", "user_data", "vision",
	"agent", "code-interpreter", "file-extract", "image", "retrieval", "video", "voice-clone-input",
}

// OutputPurposes are the purposes of files that OpenAI's API makes itself. No file here
// has them, but clients list files by them.
var OutputPurposes = []string{"assistants_output", "batch_output", "fine-tune-results"}

// isPurpose reports whether a text can be a purpose. A provider may have others than
// those of Purposes, so that a file's purpose may be one of a provider that is not
// configured any more.
func isPurpose(text string) bool {
	return text != "" && len(text) <= maxPurpose && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_' && r != '.'
	})
}

// The values of File.OnExpiry.
const (
	OnExpiryFile       = ""           // the file alone
	OnExpiryEverywhere = "everywhere" // also its blob, unless other files refer to it, with the blob's copies and texts
)

// The limits of a file's fields.
const (
	maxFileName  = 255 // characters
	maxContext   = 255 // characters
	maxPurpose   = 64  // bytes
	maxTags      = 64
	maxTag       = 64  // characters
	maxMediaType = 255 // bytes
	// MinFileLife and MaxFileLife are the shortest and the longest time between a file's
	// creation and its expiry.
	MinFileLife = time.Hour
	MaxFileLife = 10 * 365 * 24 * time.Hour
)

const fileIDPrefix = "file-"

// NewFileID returns a random id that can't be guessed.
func NewFileID() string { return fileIDPrefix + strings.ToLower(rand.Text()[:24]) }

// IsFileID reports whether a text could be a file's id.
func IsFileID(id string) bool {
	rest, ok := strings.CutPrefix(id, fileIDPrefix)
	return ok && len(rest) > 0 && len(rest) <= 59 && !strings.ContainsFunc(rest, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// Check returns an *InvalidField for the first field that can't be stored. Every
// index stores a file that passes.
func (f File) Check() error {
	if !IsFileID(f.ID) {
		return &InvalidField{"id", fmt.Sprintf("%.100q can't be a file's id", f.ID)}
	}
	if f.Size < -1 {
		return &InvalidField{"size", fmt.Sprintf("is %d; an unknown size is -1", f.Size)}
	}
	if err := f.checkDescription(); err != nil {
		return err
	}
	return f.Origin.check()
}

// CheckImport is Check for a file to import, which has an Origin and no digest yet.
func (f File) CheckImport() error {
	switch {
	case f.Origin == nil:
		return &InvalidField{"origin", "is missing"}
	case !f.IsPending():
		return &InvalidField{"digest", "is set; an imported file gets it when its bytes are taken in"}
	}
	return f.Check()
}

// CheckRestored is Check for a file that an index held. Its metadata may be longer than a
// creator's: Postgres writes numbers in full.
func (f File) CheckRestored() error {
	if len(f.Metadata) > 0 && !isJSONObject(f.Metadata) {
		return errNoObject
	}
	f.Metadata = nil
	return f.Check()
}

// checkDescription checks the fields that the file's creator chooses.
func (f File) checkDescription() error {
	if f.OnExpiry != OnExpiryFile && f.OnExpiry != OnExpiryEverywhere {
		return &InvalidField{"on_expiry", fmt.Sprintf("%.100q is not %s", f.OnExpiry, OnExpiryEverywhere)}
	}
	if err := checkFileName(f.Name); err != nil {
		return err
	}
	if !isPurpose(f.Purpose) {
		return &InvalidField{"purpose", fmt.Sprintf("%.100q can't be a purpose, such as %s", f.Purpose, strings.Join(Purposes, ", "))}
	}
	if err := checkMediaType(f.MediaType); err != nil {
		return err
	}
	if err := checkShortText("context", f.Context, maxContext); err != nil {
		return err
	}
	if err := checkTags(f.Tags); err != nil {
		return err
	}
	if len(f.Metadata) == 0 {
		return nil
	}
	return CheckMetadata(f.Metadata)
}

func checkFileName(name string) error {
	if err := checkShortText("name", name, maxFileName); err != nil {
		return err
	}
	switch {
	case name == "":
		return &InvalidField{"name", "is missing; send the file with a filename"}
	case strings.ContainsAny(name, `/\`), name == ".", name == "..":
		return &InvalidField{"name", fmt.Sprintf("%q has a folder in it; send the file's own name", name)}
	case strings.ContainsFunc(name, unicode.IsControl):
		return &InvalidField{"name", fmt.Sprintf("%q has control characters in it", name)}
	}
	return nil
}

// checkMediaType accepts an empty media type too.
func checkMediaType(mediaType string) error {
	if mediaType == "" {
		return nil
	}
	// The mime package accepts NUL in a quoted parameter.
	if CheckText("media type", mediaType) == nil && len(mediaType) <= maxMediaType {
		if _, _, err := mime.ParseMediaType(mediaType); err == nil {
			return nil
		}
	}
	return &InvalidField{"media_type", fmt.Sprintf("%.100q is not a media type such as application/pdf", mediaType)}
}

func checkTags(tags []string) error {
	if len(tags) > maxTags {
		return &InvalidField{"tags", fmt.Sprintf("are %d; at most %d are kept", len(tags), maxTags)}
	}
	for i, tag := range tags {
		if err := checkShortText("tags", tag, maxTag); err != nil {
			return err
		}
		if tag == "" || strings.Contains(tag, ",") {
			return &InvalidField{"tags", "must not be empty, nor have commas in them"}
		}
		if slices.Contains(tags[:i], tag) {
			return &InvalidField{"tags", fmt.Sprintf("has %q twice", tag)}
		}
	}
	return nil
}

// checkShortText returns an *InvalidField for a text that can't be stored, or has
// more than most characters.
func checkShortText(field, text string, most int) error {
	if n := utf8.RuneCountInString(text); n > most {
		return &InvalidField{field, fmt.Sprintf("has %d characters; at most %d are kept", n, most)}
	}
	if CheckText(field, text) != nil {
		return &InvalidField{field, "is not valid UTF-8 without NUL characters"}
	}
	return nil
}

// check accepts a nil Origin too.
func (o *Origin) check() error {
	if o == nil {
		return nil
	}
	for _, text := range []struct{ name, value string }{
		{"source", o.Source}, {"key", o.Key}, {"provider", o.Provider}, {"file id", o.ProviderFileID}, {"error", o.Error},
	} {
		if err := CheckText(text.name, text.value); err != nil {
			return &InvalidField{"origin", "has a " + err.Error()}
		}
	}
	return nil
}
