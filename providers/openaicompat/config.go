package openaicompat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"casgate/providers"
)

// Config describes a provider whose file API is OpenAI's, or nearly. It can be
// written as JSON; see Parse. Presets has those that are known.
type Config struct {
	// Name is what callers know the provider by: lower-case letters, digits and
	// dashes.
	Name string `json:"name"`
	// BaseURL is what comes before /files, such as https://api.openai.com/v1.
	BaseURL string `json:"base_url"`
	// Purposes lists what files can be stored for; the first is the default.
	Purposes []Purpose `json:"purposes"`
	// MaxFiles and MaxBytes bound the account; 0 means unbounded.
	MaxFiles int64 `json:"max_files,omitempty"`
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// Concurrency and PerMinute bound the calls made; 0 means unbounded.
	Concurrency int `json:"concurrency,omitempty"`
	PerMinute   int `json:"per_minute,omitempty"`
	// FieldsAfterFile puts purpose and Fields after the file in the form.
	FieldsAfterFile bool `json:"fields_after_file,omitempty"`
	// Fields are further fields of each upload's form, such as
	// "expires_after[anchor]": "created_at".
	Fields map[string]string `json:"fields,omitempty"`
	// IgnoresPurpose: the provider takes a purpose and makes nothing of it, so that
	// its answers' purposes mean nothing. There must then be one purpose alone.
	IgnoresPurpose bool `json:"ignores_purpose,omitempty"`
	// Listing is how files are listed: "after" (OpenAI's way), "page" (page and
	// page_size), or "none" (one answer has all).
	Listing Paging `json:"listing"`
	// PageSize is how many files to ask for at a time; 0 leaves it to the provider.
	PageSize int `json:"page_size,omitempty"`
	// Retrieve: GET /files/{id} is there. Download: GET /files/{id}/content is.
	Retrieve bool `json:"retrieve,omitempty"`
	Download bool `json:"download,omitempty"`
	// Processes: the provider goes on working on a file that it has taken, until its
	// status is a final one. It needs Retrieve.
	Processes bool `json:"processes,omitempty"`
	// References are the ways to use a file in a request; of those that fit, the first
	// is the usual one.
	References []Reference `json:"references,omitempty"`
}

// Purpose is providers.Purpose in JSON.
type Purpose struct {
	Name        string           `json:"name"`
	Extensions  []string         `json:"extensions,omitempty"`
	MediaTypes  []string         `json:"media_types,omitempty"`
	MaxSize     int64            `json:"max_size,omitempty"`
	SizeOf      map[string]int64 `json:"size_of,omitempty"`
	AllowsEmpty bool             `json:"allows_empty,omitempty"`
	MaxFiles    int64            `json:"max_files,omitempty"`
	MaxBytes    int64            `json:"max_bytes,omitempty"`
	// LifetimeSeconds is how long a file is kept; 0: until it is deleted.
	LifetimeSeconds int64 `json:"lifetime_seconds,omitempty"`
	Unlisted        bool  `json:"unlisted,omitempty"`
}

// Reference is a way to use a file in a request.
type Reference struct {
	// Name is what callers choose it by, such as file_id.
	Name string `json:"name"`
	// Where says in a few words where in a request it goes.
	Where string `json:"where"`
	// Purpose is what a copy must be stored for; empty where no copy is needed, since
	// the provider reads a URL.
	Purpose string `json:"purpose,omitempty"`
	// MediaTypes are those it is for: "image/*", or whole types; none means all. It is
	// in any case only for files that the purpose takes by their extension.
	MediaTypes []string `json:"media_types,omitempty"`
	// JSON is what goes into the request. In its strings {file_id}, {url}, {name} and
	// {media_type} stand for the blob's.
	JSON json.RawMessage `json:"json"`
}

// Parse reads a Config from JSON. Fields it doesn't know are errors.
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

// Validate returns an error that names the first thing wrong.
func (c Config) Validate() error {
	err := c.validate()
	if err != nil {
		err = fmt.Errorf("provider %q: %w", c.Name, err)
	}
	return err
}

func (c Config) validate() error {
	if !validName.MatchString(c.Name) {
		return errors.New("its name must be lower-case letters, digits and dashes, and begin with a letter")
	}
	if _, err := parseBase(c.BaseURL); err != nil {
		return fmt.Errorf("base_url %w", err)
	}
	switch c.Listing {
	case PagingAfter, PagingNumber, PagingNone:
	default:
		return fmt.Errorf("listing is %q; it must be after, page or none", c.Listing)
	}
	if c.Processes && !c.Retrieve {
		return errors.New("processes needs retrieve: there is no other way to see when a file is ready")
	}
	if c.MaxFiles < 0 || c.MaxBytes < 0 || c.Concurrency < 0 || c.PerMinute < 0 || c.PageSize < 0 {
		return errors.New("a limit is negative")
	}
	if len(c.Purposes) == 0 {
		return errors.New("there must be at least one purpose")
	}
	if c.IgnoresPurpose && len(c.Purposes) > 1 {
		return errors.New("ignores_purpose goes with one purpose alone")
	}
	names := make(map[string]bool)
	for _, p := range c.Purposes {
		if err := p.validate(); err != nil {
			return fmt.Errorf("purpose %q: %w", p.Name, err)
		}
		if names[p.Name] {
			return fmt.Errorf("there is more than one purpose %q", p.Name)
		}
		names[p.Name] = true
	}
	for field := range c.Fields {
		if field == "" || field == "purpose" || field == "file" {
			return fmt.Errorf("the field %q can't be set", field)
		}
	}
	for _, r := range c.References {
		if r.Purpose != "" && !names[r.Purpose] {
			return fmt.Errorf("reference %q: there is no purpose %q", r.Name, r.Purpose)
		}
		if err := r.validate(); err != nil {
			return fmt.Errorf("reference %q: %w", r.Name, err)
		}
	}
	return nil
}

func (p Purpose) validate() error {
	if p.Name == "" {
		return errors.New("it has no name")
	}
	if p.MaxSize < 0 || p.MaxFiles < 0 || p.MaxBytes < 0 || p.LifetimeSeconds < 0 || p.LifetimeSeconds > 1<<32 {
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

// providerPurpose returns the same in the terms of package providers.
func (p Purpose) providerPurpose() providers.Purpose {
	return providers.Purpose{
		Name: p.Name, Extensions: p.Extensions, MediaTypes: p.MediaTypes,
		MaxSize: p.MaxSize, SizeOf: p.SizeOf, AllowsEmpty: p.AllowsEmpty,
		MaxFiles: p.MaxFiles, MaxBytes: p.MaxBytes,
		Lifetime: time.Duration(p.LifetimeSeconds) * time.Second,
		Unlisted: p.Unlisted,
	}
}
