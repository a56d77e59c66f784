package providers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Description is the known data of an account. It needs no call to the provider.
type Description struct {
	// Provider is the name that callers use, such as kimi.
	Provider string
	// Account identifies the account; see Account and NamedAccount.
	Account string
	// Host is the API's host name.
	Host string
	// Simulated: the provider is a simulator in the gateway's own process.
	Simulated bool
	// IDPrefix is what the provider puts before a file's id, in places where the id is a
	// part of a resource name: "files/" at Gemini. Remote files have the id without it.
	IDPrefix string
	// RenamesDuplicates: the provider puts " (1)" and so on before the extension of a name
	// that a file in the account already has.
	RenamesDuplicates bool
	// Purposes lists the purposes of files. The first is the default if no other one
	// fits better.
	Purposes []Purpose
	Limits
}

// FileID returns a remote file's id in the form of RemoteFile.ID. The text may be the
// whole resource name, or a URL that ends with it: other programs record them too.
func (d Description) FileID(text string) string {
	if d.IDPrefix == "" {
		return text
	}
	if i := strings.LastIndex("/"+text, "/"+d.IDPrefix); i >= 0 {
		return text[i+len(d.IDPrefix):]
	}
	return text
}

// Limits are the limits of an account over all purposes; 0 means unlimited.
type Limits struct {
	// MaxFiles and MaxBytes limit the stored files.
	MaxFiles int64 `json:"max_files,omitempty"`
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// Concurrency and PerMinute limit the calls at once and the calls in a minute.
	Concurrency int `json:"concurrency,omitempty"`
	PerMinute   int `json:"per_minute,omitempty"`
}

// Purpose is a provider's name for what a file is for, with the provider's limits
// for such files.
type Purpose struct {
	Name string `json:"name"`
	// Extensions lists the accepted extensions, lower-case with their dot. An empty list
	// means all.
	Extensions []string `json:"extensions,omitempty"`
	// MediaTypes lists the media types that this purpose is the default for: "image/*"
	// or whole types.
	MediaTypes []string `json:"media_types,omitempty"`
	// MaxSize is the maximum size of a file in bytes; 0 means that the provider states
	// none. SizeOf has exceptions by extension.
	MaxSize int64            `json:"max_size,omitempty"`
	SizeOf  map[string]int64 `json:"size_of,omitempty"`
	// AllowsEmpty: the provider accepts a file of zero bytes.
	AllowsEmpty bool `json:"allows_empty,omitempty"`
	// MaxFiles and MaxBytes limit the stored files of this purpose; 0 means unlimited.
	MaxFiles int64 `json:"max_files,omitempty"`
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// LifetimeSeconds is how long the provider keeps a file; 0 means until it is
	// deleted.
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty"`
	// SpareSeconds is how long after its upload a file is not evicted to make room for
	// another one: a job may still read it.
	SpareSeconds int64 `json:"spare_seconds,omitempty"`
	// Rewritten: the provider may change a file's bytes, so its size proves nothing.
	Rewritten bool `json:"rewritten,omitempty"`
	// Withheld: the provider returns no bytes of uploaded files, though it has downloads.
	Withheld bool `json:"withheld,omitempty"`
	// Unlisted: lists don't contain files of this purpose.
	Unlisted bool `json:"unlisted,omitempty"`
	// SettlingSeconds is the settling time, in seconds; 0 means DefaultSettling. During
	// this time after an upload, "not there" means "not yet": a list without the file, or
	// a 404, proves nothing.
	SettlingSeconds float64 `json:"settling_seconds,omitempty"`
}

// DefaultSettling is the settling time of a provider that states none.
const DefaultSettling = 20 * time.Second

// Settling returns the settling time.
func (p Purpose) Settling() time.Duration {
	if p.SettlingSeconds == 0 {
		return DefaultSettling
	}
	return time.Duration(p.SettlingSeconds * float64(time.Second))
}

// SettlingOf returns the settling time of a purpose, by its name. For one that is not
// configured any more it is DefaultSettling.
func (d Description) SettlingOf(purpose string) time.Duration {
	for _, p := range d.Purposes {
		if p.Name == purpose {
			return p.Settling()
		}
	}
	return DefaultSettling
}

// Lifetime returns how long the provider keeps a file; 0 means until it is deleted.
func (p Purpose) Lifetime() time.Duration { return time.Duration(p.LifetimeSeconds) * time.Second }

// Spare returns how long after its upload a file is not evicted.
func (p Purpose) Spare() time.Duration { return time.Duration(p.SpareSeconds) * time.Second }

// BatchSpare is the SpareSeconds of inputs of batches: providers finish a batch within a
// day, and read its input when they come to it.
const BatchSpare = 24 * 3600

// Placement is where a provider stores a file.
type Placement struct {
	Purpose Purpose
	// Extension is the extension of the remote name.
	Extension string
}

// Place returns the placement of a file. An empty purpose means the one that fits the
// file best. Whether the provider takes the file, Check says. An unknown purpose is an
// error of KindPermanent.
func (d Description) Place(t FileType, purpose string) (Placement, error) {
	p := d.DefaultPurpose(t.MediaType, t.Extension)
	if purpose != "" {
		var err error
		if p, err = d.Purpose(purpose, ""); err != nil {
			return Placement{}, err
		}
	}
	extension, _ := p.ExtensionOf(t)
	return Placement{p, extension}, nil
}

// DefaultPurpose returns the purpose for a file of this media type whose name has this
// extension. The media type decides, except if its purpose doesn't accept the
// extension and another purpose lists it: a file's owner chose the name. If no purpose
// lists it, the media type's own extension counts.
func (d Description) DefaultPurpose(mediaType, extension string) Purpose {
	t := FileType{mediaType, extension}
	usual := d.defaultPurpose(mediaType)
	if len(usual.Extensions) == 0 || slices.Contains(usual.Extensions, extension) {
		return usual
	}
	for _, p := range d.Purposes {
		if slices.Contains(p.Extensions, extension) {
			return p
		}
	}
	for _, p := range slices.Concat([]Purpose{usual}, d.Purposes) {
		if _, ok := p.ExtensionOf(t); ok {
			return p
		}
	}
	return usual
}

// Purpose returns the purpose with this name. An empty name means the default for
// the media type. An unknown name is an error of KindPermanent.
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
		Provider: d.Provider, Op: OpCheck, Kind: KindPermanent, Code: CodeUnknownPurpose,
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
	for _, p := range d.Purposes {
		if ListsType(p.MediaTypes, mediaType) {
			return p
		}
	}
	return d.Purposes[0]
}

// Check returns an error of KindPermanent if the provider would refuse a file of this
// purpose, even in an empty account, for its size (bytes) or its extension (lower-case, with
// its dot).
func (d Description) Check(p Purpose, extension string, size int64) error {
	refuse := func(code, message, hint string) error {
		return &Error{Provider: d.Provider, Op: OpCheck, Kind: KindPermanent, Code: code, Message: message, Hint: hint}
	}
	if len(p.Extensions) > 0 && !slices.Contains(p.Extensions, extension) {
		message := fmt.Sprintf("%s takes no %s files under the purpose %s", d.Provider, extension, p.Name)
		if extension == "" {
			message = fmt.Sprintf("%s takes only certain extensions under the purpose %s, and neither the file's name nor its bytes tell one", d.Provider, p.Name)
		}
		return refuse("unsupported_extension", message, "name the file with one of "+strings.Join(p.Extensions, " ")+", or choose another purpose")
	}
	if size == 0 && !p.AllowsEmpty {
		return refuse("empty_file", d.Provider+" takes no empty files", "the blob is empty; a provider can't use it")
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
	// Such a file has no room even in an empty account, so that no eviction can help.
	for _, pool := range []struct {
		limit int64
		of    string
	}{{p.MaxBytes, "of all files under the purpose " + p.Name}, {d.MaxBytes, "of all files of the account"}} {
		if pool.limit > 0 && size > pool.limit {
			return refuse("file_too_large",
				fmt.Sprintf("the file is larger than the account takes: %s takes at most %s (%d bytes) %s, and the blob has %d bytes", d.Provider, humanize.IBytes(uint64(pool.limit)), pool.limit, pool.of, size),
				"split the file, make it smaller, or use another account")
		}
	}
	return nil
}
