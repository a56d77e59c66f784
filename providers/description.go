package providers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Description is what is known of an account without asking the provider.
type Description struct {
	// Provider is the name callers use, such as kimi.
	Provider string
	// Account tells accounts apart, see Account.
	Account string
	// Host is the API's host name.
	Host string
	// Simulated: this is no provider but a simulator in the gateway's own process.
	Simulated bool
	// Purposes lists what files can be stored for; the first is the default where
	// nothing fits better.
	Purposes []Purpose
	// MaxFiles and MaxBytes bound the account over all purposes; 0 means unbounded.
	MaxFiles int64
	MaxBytes int64
	// Concurrency and PerMinute are how many calls the account stands at once and in
	// a minute; 0 means unbounded.
	Concurrency int
	PerMinute   int
}

// Purpose is what a file is stored for, with the provider's limits for it.
type Purpose struct {
	Name string
	// Extensions lists those taken, lower-case with their dot; none listed means any.
	Extensions []string
	// MediaTypes are those this purpose is the default for: "image/*" or whole types.
	MediaTypes []string
	// MaxSize bounds a file, in bytes; SizeOf has exceptions by extension. 0 means
	// that the provider states no bound.
	MaxSize int64
	SizeOf  map[string]int64
	// AllowsEmpty: a file of zero bytes is taken.
	AllowsEmpty bool
	// MaxFiles and MaxBytes bound the files of this purpose; 0 means unbounded.
	MaxFiles int64
	MaxBytes int64
	// Lifetime is how long the provider keeps a file; 0: until it is deleted.
	Lifetime time.Duration
	// Rewritten: the provider may change a file's bytes, so that its size says nothing.
	Rewritten bool
	// Unlisted: files of this purpose don't show up in listings.
	Unlisted bool
}

// Account returns the fingerprint of a provider's credential at a host. It tells
// two credentials apart, also those of two providers, and does not give them away.
func Account(provider, host, credential string) string {
	sum := sha256.Sum256([]byte("casgate account\x00" + provider + "\x00" + host + "\x00" + credential))
	return hex.EncodeToString(sum[:6]) + "@" + host
}

// DefaultPurpose returns the purpose for a blob of this media type, stored under a
// name with this extension. The media type decides, unless that purpose doesn't take
// the extension and another names it: what a file is called is its owner's word, and
// what its first bytes look like is not.
func (d Description) DefaultPurpose(mediaType, extension string) Purpose {
	usual := d.defaultPurpose(mediaType)
	if len(usual.Extensions) == 0 || slices.Contains(usual.Extensions, extension) {
		return usual
	}
	for _, p := range d.Purposes {
		if slices.Contains(p.Extensions, extension) {
			return p
		}
	}
	return usual
}

// Purpose returns the purpose of this name; an empty one means the default for
// the media type. An unknown one is an error of KindPermanent.
func (d Description) Purpose(name, mediaType string) (Purpose, error) {
	if name == "" {
		return d.defaultPurpose(mediaType), nil
	}
	for _, p := range d.Purposes {
		if p.Name == name {
			return p, nil
		}
	}
	return Purpose{}, &Error{
		Provider: d.Provider, Op: OpCheck, Kind: KindPermanent, Code: "unknown_purpose",
		Message: fmt.Sprintf("%s has no purpose %q", d.Provider, name),
		Hint:    "use one of " + strings.Join(d.purposeNames(), ", "),
	}
}

func (d Description) purposeNames() []string {
	names := make([]string, len(d.Purposes))
	for i, p := range d.Purposes {
		names[i] = p.Name
	}
	return names
}

func (d Description) defaultPurpose(mediaType string) Purpose {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	major, _, _ := strings.Cut(mediaType, "/")
	for _, p := range d.Purposes {
		if slices.Contains(p.MediaTypes, mediaType) || slices.Contains(p.MediaTypes, major+"/*") {
			return p
		}
	}
	return d.Purposes[0]
}

// Check returns an error of KindPermanent where the provider would refuse a file
// of this purpose for its size or its extension (lower-case, with its dot).
func (d Description) Check(p Purpose, extension string, size int64) error {
	refuse := func(code, message, hint string) error {
		return &Error{Provider: d.Provider, Op: OpCheck, Kind: KindPermanent, Code: code, Message: message, Hint: hint}
	}
	if len(p.Extensions) > 0 && !slices.Contains(p.Extensions, extension) {
		what := fmt.Sprintf("%s takes no %s files under the purpose %s", d.Provider, extension, p.Name)
		if extension == "" {
			what = fmt.Sprintf("%s needs to know the kind of file for the purpose %s, and the blob's name has no extension", d.Provider, p.Name)
		}
		return refuse("unsupported_extension", what, "name the file with one of "+strings.Join(p.Extensions, " ")+", or choose another purpose")
	}
	if size == 0 && !p.AllowsEmpty {
		return refuse("empty_file", d.Provider+" takes no empty files", "there is nothing in the blob to be used")
	}
	limit, ok := p.SizeOf[extension]
	if !ok {
		limit = p.MaxSize
	}
	if limit > 0 && size > limit {
		return refuse("file_too_large",
			fmt.Sprintf("%s takes at most %s (%d bytes) under the purpose %s, and the blob has %d bytes", d.Provider, humanize.IBytes(uint64(limit)), limit, p.Name, size),
			"split the file, or make it smaller")
	}
	return nil
}
