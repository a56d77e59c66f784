package fileapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
)

// maxFormField bounds one field of a form, in bytes; the fields of files have bounds of
// their own.
const maxFormField = 64 << 10

// fields is the description of a file to create, in fields of the form or the query,
// in any order. A wrong field is refused as soon as it is read.
type fields struct {
	file     cas.File // as far as it is known
	anchor   string
	life     time.Duration     // 0: not given
	pairs    map[string]string // metadata given key by key
	unique   bool
	copiesAt []string // providers
	seen     map[string]bool

	handlers *Handlers
	c        echo.Context
}

func (h *Handlers) newFields(c echo.Context) (*fields, error) {
	f := &fields{pairs: map[string]string{}, seen: map[string]bool{}, handlers: h, c: c}
	if !request.HasQuery(c) {
		return f, nil
	}
	for name, values := range c.QueryParams() {
		for _, value := range values {
			if err := f.set(name, value); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// setters are the known fields. Others are skipped: a newer client may know more.
var setters = map[string]func(*fields, string) error{
	"filename":               (*fields).setFilename,
	"purpose":                (*fields).setPurpose,
	"context":                (*fields).setContext,
	"media_type":             (*fields).setMediaType,
	"metadata":               (*fields).setMetadata,
	"tags":                   (*fields).addTags,
	"providers":              (*fields).addProviders,
	"allow_duplicates":       (*fields).setDuplicates,
	"expires_after[anchor]":  (*fields).setAnchor,
	"expires_after[seconds]": (*fields).setLife,
	"on_expiry":              (*fields).setOnExpiry,
}

// isRepeated reports whether a field may be there more than once.
func isRepeated(name string) bool { return name == "tags" || name == "providers" }

// read reads a field of a form.
func (f *fields) read(part *multipart.Part) error {
	name := part.FormName()
	_, _, isPair := metadataKey(name)
	switch {
	case name == "file":
		return problem.WithParam("file", problem.BadRequest("the part file has no filename, and so is no file"))
	case !isPair && setters[fieldOf(name)] == nil:
		return nil
	}
	value, err := request.FormField(part, maxFormField)
	if err != nil {
		return err
	}
	return f.set(name, value)
}

// fieldOf returns the field that a name stands for: SDKs add brackets to the names of
// lists.
func fieldOf(name string) string {
	if base, ok := strings.CutSuffix(name, "[]"); ok && isRepeated(base) {
		return base
	}
	return name
}

// metadataKey returns the key of a name like metadata[key], the form in which SDKs send
// objects. Nested is true if there is more than one key.
func metadataKey(name string) (key string, nested, ok bool) {
	key, ok = strings.CutPrefix(name, "metadata[")
	if !ok {
		return "", false, false
	}
	key, ok = strings.CutSuffix(key, "]")
	return key, strings.ContainsAny(key, "[]"), ok && key != ""
}

func (f *fields) set(name, value string) error {
	field := fieldOf(name)
	if key, nested, ok := metadataKey(name); ok {
		field = name
		if nested {
			return problem.WithParam(name, problem.BadRequest(name+": send metadata that is nested as one field of JSON"))
		}
		f.pairs[key] = value
	} else if setters[field] == nil {
		return nil
	}
	if f.seen[field] && !isRepeated(field) {
		return problem.WithParam(field, problem.BadRequest(field+" is given more than once"))
	}
	f.seen[field] = true
	if setter := setters[field]; setter != nil {
		if err := setter(f, value); err != nil {
			return problem.WithParam(field, err)
		}
	}
	return f.check()
}

// setFilename sets the name that a field gives the file.
func (f *fields) setFilename(name string) error {
	name, err := request.CleanName(name)
	f.file.Name = name
	f.seen["name"] = true
	return err
}

func (f *fields) setPurpose(text string) error {
	f.file.Purpose = text
	return f.handlers.checkPurpose(text, nil)
}

func (f *fields) setContext(text string) error {
	f.file.Context = text
	return nil
}

// setMediaType treats a malformed type as an unknown one: clients send many of them.
func (f *fields) setMediaType(text string) error {
	f.file.MediaType = cas.NormalMediaType(text)
	return nil
}

func (f *fields) setMetadata(text string) error {
	f.file.Metadata = json.RawMessage(text)
	return nil
}

func (f *fields) addTags(list string) error {
	if list == "" {
		return nil
	}
	for tag := range strings.SplitSeq(list, ",") {
		f.file.Tags = append(f.file.Tags, strings.TrimSpace(tag))
	}
	return nil
}

func (f *fields) addProviders(list string) error {
	if list == "" {
		return nil
	}
	if err := f.handlers.Authorizer.Require(f.c, access.ScopeSync); err != nil {
		return err
	}
	names, err := f.handlers.UploadCopies.Parse(list)
	for _, name := range names {
		if !slices.Contains(f.copiesAt, name) {
			f.copiesAt = append(f.copiesAt, name)
		}
	}
	return err
}

func (f *fields) setDuplicates(text string) error {
	allowed, err := strconv.ParseBool(text)
	if err != nil {
		return problem.BadRequest(fmt.Sprintf("allow_duplicates: %.100q is neither true nor false", text))
	}
	f.unique = !allowed
	return nil
}

func (f *fields) setAnchor(text string) error {
	if text != api.AnchorCreatedAt {
		return problem.BadRequest(fmt.Sprintf("expires_after[anchor]: %.100q is not created_at, the only anchor there is", text))
	}
	f.anchor = text
	return nil
}

func (f *fields) setLife(text string) error {
	const least, most = int64(cas.MinFileLife / time.Second), int64(cas.MaxFileLife / time.Second)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return problem.BadRequest(fmt.Sprintf("expires_after[seconds]: %.100q is not a number from %d to %d", text, least, most))
	}
	f.life = time.Duration(n) * time.Second
	return nil
}

// setOnExpiry needs the scopes of a delete everywhere: the file's expiry may be one.
func (f *fields) setOnExpiry(text string) error {
	f.file.OnExpiry = text
	if text != cas.OnExpiryEverywhere {
		return nil // check refuses it, unless it is empty
	}
	for _, scope := range []access.Scope{access.ScopeDelete, access.ScopeSync} {
		if err := f.handlers.Authorizer.Require(f.c, scope); err != nil {
			return err
		}
	}
	return nil
}

// setName sets the name that the file came with. If it is a path, as some clients send
// it, the name is the last element. Clients that follow the HTML standard
// (multipart/form-data encoding algorithm), such as browsers and Node, send a quote as
// %22.
//
// A field filename that came before counts instead: some clients can't name their part,
// or not as they want.
func (f *fields) setName(name string) error {
	if f.seen["filename"] {
		return nil
	}
	name = strings.ReplaceAll(name, "%22", `"`)
	f.file.Name = name[strings.LastIndexAny(name, `/\`)+1:]
	f.seen["name"] = true
	return f.check()
}

// check returns an error if a field that was read can't be stored.
func (f *fields) check() error {
	size := 0
	for key, value := range f.pairs {
		size += len(key) + len(value)
	}
	if size > maxFormField {
		return &cas.InvalidField{Field: "metadata", Problem: fmt.Sprintf("has more than %d bytes", maxFormField)}
	}
	if len(f.pairs) > 0 && f.seen["metadata"] {
		return problem.WithParam("metadata", problem.BadRequest("metadata is given as JSON and key by key; send it one way"))
	}
	file := f.whole()
	if !f.seen["name"] {
		file.Name = "unknown yet"
	}
	if !f.seen["purpose"] {
		file.Purpose = cas.Purposes[0]
	}
	return cas.NewFile{File: file}.Check()
}

// checkComplete returns an error if a field is missing at the end of the form.
func (f *fields) checkComplete() error {
	switch {
	case !f.seen["purpose"]:
		return problem.WithParam("purpose", problem.BadRequest("purpose is missing; it is one of "+strings.Join(f.handlers.purposes(), ", ")))
	case f.file.OnExpiry != cas.OnExpiryFile && f.life == 0:
		return problem.WithParam("expires_after[seconds]", problem.BadRequest("on_expiry is given, and expires_after[seconds] is missing"))
	case f.anchor != "" && f.life == 0:
		return problem.WithParam("expires_after[seconds]", problem.BadRequest("expires_after[anchor] is given, and expires_after[seconds] is missing"))
	}
	return nil
}

// newFile returns the file to create; declared is the media type of its part.
func (f *fields) newFile(declared string, key *request.IdempotencyKey) cas.NewFile {
	n := cas.NewFile{File: f.whole(), Unique: f.unique}
	if n.MediaType == "" {
		n.MediaType = declared
	}
	n.Key = key.For(f.asked(n))
	return n
}

// askedFile is what makes two uploads with the same idempotency key the same request, besides
// the bytes. It doesn't matter whether they come in a form or are named by JSON.
type askedFile struct {
	Kind, Name, Purpose, MediaType, Context string
	Tags                                    []string
	Metadata                                any
	Life                                    time.Duration
	OnExpiry                                string
	Unique                                  bool
	CopiesAt                                []string
}

func (f *fields) asked(n cas.NewFile) askedFile {
	asked := askedFile{
		Kind: "file", Name: n.Name, Purpose: n.Purpose, MediaType: n.MediaType, Context: n.Context,
		Tags: n.Tags, Life: f.life, OnExpiry: n.OnExpiry, Unique: n.Unique, CopiesAt: f.copiesAt,
	}
	if len(n.Metadata) > 0 {
		// Another order of keys, or other white space, means the same.
		decoder := json.NewDecoder(bytes.NewReader(n.Metadata))
		decoder.UseNumber()
		if err := decoder.Decode(&asked.Metadata); err != nil {
			asked.Metadata = string(n.Metadata) // the index refuses it
		}
	}
	return asked
}

// whole returns the described file, without its bytes.
func (f *fields) whole() cas.File {
	file := f.file
	if len(f.pairs) > 0 {
		text, err := json.Marshal(f.pairs)
		if err != nil {
			panic(err) // a map of strings can be marshalled
		}
		file.Metadata = text
	}
	if f.life > 0 {
		file.ExpiresAt = time.Now().Add(f.life)
	}
	return file
}
