package cas

import (
	"bytes"
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
	// Digest is the blob's; zero while an imported file's bytes have not been taken in
	// yet, see Origin.
	Digest Digest
	Size   int64 // bytes; -1 where an imported file's isn't known yet

	Name      string
	MediaType string
	// Purpose is what the file is for, one of Purposes.
	Purpose string
	// Context is whatever the caller groups files by: a conversation, a project.
	Context string
	// Tags are labels, each once, in no particular order.
	Tags []string
	// Metadata is a JSON object of the caller's; empty means {}.
	Metadata json.RawMessage

	CreatedAt  time.Time
	AccessedAt time.Time // zero: never read
	ExpiresAt  time.Time // zero: never

	// Origin is where an imported file came from; nil for all others.
	Origin *Origin
}

// Origin is where an imported file's bytes lie until they are taken in.
type Origin struct {
	// Source names the bucket or folder, and Key the object or file in it.
	Source string
	Key    string
	// Digest is the one the old manager has noted; zero where it has none. It is not
	// trusted.
	Digest Digest
	// Provider and ProviderFileID are the copy that the old manager has noted; empty
	// where it has none. It is verified before its first use.
	Provider       string
	ProviderFileID string
	// Error is why the last attempt to take the bytes in failed; empty: none has.
	Error string
}

// IsPending reports whether the file's bytes have yet to be taken in.
func (f File) IsPending() bool { return f.Digest.IsZero() }

// The errors of files.
var (
	// ErrFileNotFound: there is no such file, or it has expired.
	ErrFileNotFound = errors.New("file not found")
	// ErrDuplicateFile: there is a file with the same bytes already.
	ErrDuplicateFile = errors.New("duplicate file")
	// ErrInvalidFile: what was said of a file can't be stored; an *InvalidField says
	// what.
	ErrInvalidFile = errors.New("invalid file")
	// ErrOriginUnavailable: an imported file's bytes can't be read where they lie.
	ErrOriginUnavailable = errors.New("origin unavailable")
)

// InvalidField is an ErrInvalidFile, with the field that is wrong.
type InvalidField struct {
	Field   string // as in the JSON of a file
	Problem string
}

// Error implements error.
func (e *InvalidField) Error() string { return e.Field + " " + e.Problem }

// Is makes an InvalidField an ErrInvalidFile.
func (e *InvalidField) Is(target error) bool { return target == ErrInvalidFile }

// Purposes are those a file can be made for: OpenAI's, and those of the providers.
var Purposes = []string{
	"assistants", "batch", "evals", "fine-tune", "user_data", "vision",
	"agent", "code-interpreter", "file-extract", "image", "retrieval", "video", "voice-clone-input",
}

// The bounds of what a file may say.
const (
	maxFileName  = 255 // bytes
	maxContext   = 255 // bytes
	maxTags      = 64
	maxTag       = 64       // bytes
	maxMetadata  = 16 << 10 // bytes of JSON
	maxMediaType = 255
	// MinFileLife and MaxFileLife bound how long after its making a file may expire.
	MinFileLife = time.Hour
	MaxFileLife = 10 * 365 * 24 * time.Hour
)

const fileIDPrefix = "file-"

// NewFileID returns an id that nobody can guess.
func NewFileID() string { return fileIDPrefix + strings.ToLower(rand.Text()[:24]) }

// IsFileID reports whether a text could be a file's id.
func IsFileID(id string) bool {
	rest, ok := strings.CutPrefix(id, fileIDPrefix)
	return ok && len(rest) > 0 && len(rest) <= 59 && !strings.ContainsFunc(rest, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	})
}

// Check returns an *InvalidField for the first thing about a file that can't be
// stored.
func (f File) Check() error {
	if err := checkFileName(f.Name); err != nil {
		return err
	}
	if !slices.Contains(Purposes, f.Purpose) {
		return &InvalidField{"purpose", fmt.Sprintf("%q is not one of %s", f.Purpose, strings.Join(Purposes, ", "))}
	}
	if f.MediaType != "" {
		if _, _, err := mime.ParseMediaType(f.MediaType); err != nil || len(f.MediaType) > maxMediaType {
			return &InvalidField{"media_type", fmt.Sprintf("%.100q is not a media type such as application/pdf", f.MediaType)}
		}
	}
	if err := checkText("context", f.Context, maxContext); err != nil {
		return err
	}
	if len(f.Tags) > maxTags {
		return &InvalidField{"tags", fmt.Sprintf("are %d; at most %d are kept", len(f.Tags), maxTags)}
	}
	for i, tag := range f.Tags {
		if err := checkText("tags", tag, maxTag); err != nil {
			return err
		}
		if tag == "" || strings.Contains(tag, ",") {
			return &InvalidField{"tags", "must not be empty, nor have commas in them"}
		}
		if slices.Contains(f.Tags[:i], tag) {
			return &InvalidField{"tags", fmt.Sprintf("has %q twice", tag)}
		}
	}
	return checkMetadata(f.Metadata)
}

func checkFileName(name string) error {
	if err := checkText("name", name, maxFileName); err != nil {
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

func checkText(field, text string, most int) error {
	if len(text) > most {
		return &InvalidField{field, fmt.Sprintf("has %d bytes; at most %d are kept", len(text), most)}
	}
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return &InvalidField{field, "is not valid UTF-8 without NUL characters"}
	}
	return nil
}

func checkMetadata(metadata json.RawMessage) error {
	if len(metadata) == 0 {
		return nil
	}
	if len(metadata) > maxMetadata {
		return &InvalidField{"metadata", fmt.Sprintf("has %d bytes of JSON; at most %d are kept", len(metadata), maxMetadata)}
	}
	if !json.Valid(metadata) || bytes.TrimSpace(metadata)[0] != '{' {
		return &InvalidField{"metadata", `is not a JSON object such as {"key":"value"}`}
	}
	// Postgres refuses NUL in JSON text.
	if bytes.Contains(metadata, []byte(`\u0000`)) || !utf8.Valid(metadata) {
		return &InvalidField{"metadata", "has NUL characters, or is not UTF-8"}
	}
	return nil
}
