package openaicompat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"casgate/providers"
)

// Config describes a provider with an OpenAI-like file API completely, without any
// code. It can be written as JSON; see Parse. Presets returns the known ones.
type Config struct {
	API
	// Retrieve: the API has GET /files/{id}. Download: it has GET /files/{id}/content.
	Retrieve bool `json:"retrieve,omitempty"`
	Download bool `json:"download,omitempty"`
	// Processes: the provider processes a file after the upload, until the file has a
	// final status. Processes needs Retrieve.
	Processes bool `json:"processes,omitempty"`
	// References are the ways to use a file in a request. The first one that fits a
	// file is the usual one.
	References []Reference `json:"references,omitempty"`
}

// API describes a provider's file API as far as data can. A Dialect holds the parts
// that need code.
type API struct {
	// Name is the name that callers use for the provider: lower-case letters, digits
	// and dashes. Settings can replace it.
	Name string `json:"name"`
	// BaseURL is the URL before /files, such as https://api.openai.com/v1. Settings can
	// replace it.
	BaseURL string `json:"base_url"`
	// ChatURL is the URL of chats in OpenAI's shape. Empty means /chat/completions below
	// BaseURL. Settings can replace it.
	ChatURL string `json:"chat_url,omitempty"`
	// Inline are the types of parts of a chat that may have the bytes of a file in them, as a
	// data: URL or as file_data. In a Config, absent means image_url alone.
	Inline []string `json:"inline,omitempty"`
	// Purposes lists the purposes of files. The first one is the default.
	Purposes []providers.Purpose `json:"purposes"`
	providers.Limits
	// FieldsAfterFile puts purpose and Fields after the file in an upload's form. The
	// default is before it: a provider that streams the file must know the purpose
	// before the file's first byte.
	FieldsAfterFile bool `json:"fields_after_file,omitempty"`
	// Fields are further fields of each upload's form, such as
	// "expires_after[anchor]": "created_at".
	Fields map[string]string `json:"fields,omitempty"`
	// IgnoresPurpose: the provider accepts a purpose but doesn't use it, so the purposes
	// in its answers mean nothing. The API must then have exactly one purpose.
	IgnoresPurpose bool `json:"ignores_purpose,omitempty"`
	// RenamesDuplicates: the provider puts " (1)" and so on before the extension of a name
	// that a file in the account already has.
	RenamesDuplicates bool `json:"renames_duplicates,omitempty"`
	// NoPurposes: files have no purposes. An upload names none, and no answer has one.
	// The API must then have exactly one purpose, which is the gateway's name for all
	// files.
	NoPurposes bool `json:"no_purposes,omitempty"`
	// Expiry says how an upload asks for the file's deletion after some time. Nil means
	// that it can't.
	Expiry *Expiry `json:"expiry,omitempty"`
	// Listing is how the list of files is divided into pages.
	Listing Paging `json:"listing"`
	// IDPrefix is Description.IDPrefix, for adapters in code.
	IDPrefix string `json:"-"`
	// PageSize is the number of files to ask for in one page; 0 means the provider's
	// default.
	PageSize int `json:"page_size,omitempty"`
	// PurposeFilter says how a list is restricted to one purpose.
	PurposeFilter PurposeFilter `json:"purpose_filter,omitempty"`
}

// Expiry is how an upload asks the provider to delete the file after a lifetime.
type Expiry struct {
	// Fields are the fields of the form that ask for it. In their values, {seconds} is
	// replaced by the lifetime.
	Fields map[string]string `json:"fields"`
	// MinSeconds and MaxSeconds limit the lifetime; 0 means that no limit is known.
	MinSeconds int64 `json:"min_seconds,omitempty"`
	MaxSeconds int64 `json:"max_seconds,omitempty"`
}

// Reference is a way to use a file in a request.
type Reference struct {
	// Name is the name that callers choose it by, such as file_id.
	Name string `json:"name"`
	// Place is where its value stands in a request: part, message or value. If it is empty,
	// JSON decides: a string is a value, an object with a role is a message, and any other
	// is a part.
	Place providers.Place `json:"place,omitempty"`
	// Request is the request that it is for, such as "POST /chat/completions", and Field the
	// field of a value.
	Request string `json:"request,omitempty"`
	Field   string `json:"field,omitempty"`
	// Note says in a few words what Place and Request don't, such as "PDF only".
	Note string `json:"where,omitempty"`
	// Purpose is the purpose that the copy must have. It is empty for a reference by
	// URL or with the bytes, which needs no copy.
	Purpose string `json:"purpose,omitempty"`
	// MediaTypes are the media types that it is for: "image/*", or whole types. "text/*"
	// includes text in other notations, such as application/json. An empty list means
	// all. In addition, the purpose must accept the file.
	MediaTypes []string `json:"media_types,omitempty"`
	// MaxSize is the maximum size of the blob, in bytes, for a reference that needs no
	// copy; 0 means that the provider states none.
	MaxSize int64 `json:"max_size,omitempty"`
	// JSON is the value for the request. In its strings, {file_id}, {url}, {base64}, {name}
	// and {media_type} are replaced by the values of the blob.
	JSON json.RawMessage `json:"json"`
}

// Parse reads a Config from JSON. An unknown field is an error.
func Parse(text []byte) (Config, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var c Config
	if err := decoder.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("a provider's description: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("a provider's description: there is something after it")
	}
	return c, c.Validate()
}

var (
	validName      = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	validExtension = regexp.MustCompile(`^\.[a-z0-9_+]{1,15}$`)
)

// Validate returns an error that names the first mistake.
func (c Config) Validate() error {
	err := c.validate()
	if err != nil {
		err = fmt.Errorf("provider %q: %w", c.Name, err)
	}
	return err
}

func (c Config) validate() error {
	if err := c.API.validate(); err != nil {
		return err
	}
	if c.Processes && !c.Retrieve {
		return errors.New("processes needs retrieve: there is no other way to see when a file is ready")
	}
	for _, r := range c.References {
		if r.Purpose != "" && !c.hasPurpose(r.Purpose) {
			return fmt.Errorf("reference %q: there is no purpose %q", r.Name, r.Purpose)
		}
		if err := r.validate(); err != nil {
			return fmt.Errorf("reference %q: %w", r.Name, err)
		}
	}
	return nil
}

func (a API) validate() error {
	if !validName.MatchString(a.Name) {
		return errors.New("its name must be lower-case letters, digits and dashes, and begin with a letter")
	}
	if _, err := parseBase(a.BaseURL); err != nil {
		return fmt.Errorf("base_url %w", err)
	}
	if _, err := parseChatURL(a.ChatURL, a.BaseURL); err != nil {
		return fmt.Errorf("chat_url %w", err)
	}
	switch a.Listing {
	case PagingAfter, PagingAfterID, PagingNumber, PagingNone:
	default:
		return fmt.Errorf("listing is %q; it must be after_id, after, page or none", a.Listing)
	}
	switch a.PurposeFilter {
	case FilterOptional, FilterUnsupported, FilterRequired:
	default:
		return fmt.Errorf("purpose_filter is %q; it must be absent, unsupported or required", a.PurposeFilter)
	}
	if a.MaxFiles < 0 || a.MaxBytes < 0 || a.Concurrency < 0 || a.PerMinute < 0 || a.PageSize < 0 {
		return errors.New("a limit is negative")
	}
	for field := range a.Fields {
		if !settable(field) {
			return fmt.Errorf("the field %q can't be set", field)
		}
	}
	if err := a.Expiry.validate(); err != nil {
		return fmt.Errorf("expiry: %w", err)
	}
	return a.validatePurposes()
}

// settable reports whether a field of an upload's form may have a fixed value.
func settable(field string) bool { return field != "" && field != "purpose" && field != "file" }

// onePurpose reports whether answers don't tell the purpose of a file, so that all
// files have the only one there is.
func (a API) onePurpose() bool { return a.IgnoresPurpose || a.NoPurposes }

func (a API) validatePurposes() error {
	if len(a.Purposes) == 0 {
		return errors.New("there must be at least one purpose")
	}
	if a.onePurpose() && len(a.Purposes) > 1 {
		return errors.New("ignores_purpose and no_purposes go with one purpose alone")
	}
	names := make(map[string]bool)
	for _, p := range a.Purposes {
		if err := validatePurpose(p); err != nil {
			return fmt.Errorf("purpose %q: %w", p.Name, err)
		}
		if names[p.Name] {
			return fmt.Errorf("there is more than one purpose %q", p.Name)
		}
		names[p.Name] = true
	}
	return nil
}

func (a API) hasPurpose(name string) bool {
	for _, p := range a.Purposes {
		if p.Name == name {
			return true
		}
	}
	return false
}

func validatePurpose(p providers.Purpose) error {
	if p.Name == "" {
		return errors.New("it has no name")
	}
	if p.MaxSize < 0 || p.MaxFiles < 0 || p.MaxBytes < 0 || p.LifetimeSeconds < 0 || p.LifetimeSeconds > 1<<32 || p.SpareSeconds < 0 || p.SettlingSeconds < 0 || p.SettlingSeconds > 24*3600 {
		return errors.New("a limit is out of range")
	}
	extensions := append([]string(nil), p.Extensions...)
	for extension, size := range p.SizeOf {
		if size <= 0 {
			return fmt.Errorf("the size of %s must be positive", extension)
		}
		extensions = append(extensions, extension)
	}
	for _, extension := range extensions {
		if !validExtension.MatchString(extension) {
			return fmt.Errorf("the extension %q must be lower-case, with its dot", extension)
		}
	}
	return nil
}
