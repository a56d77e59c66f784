package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/problem"
)

// maxFormField bounds one field of a form; files have bounds of their own.
const maxFormField = 64 << 10

// fileFields is what a request says of a file that it makes, in fields of its form
// or its query, in any order. What is wrong is refused as soon as it is seen.
type fileFields struct {
	file      cas.File // as far as it is known
	anchor    string
	life      time.Duration     // 0: not given
	pairs     map[string]string // metadata given key by key
	unique    bool
	providers []string
	seen      map[string]bool

	gateway *Gateway
	request echo.Context
}

func (g *Gateway) newFileFields(c echo.Context) (*fileFields, error) {
	f := &fileFields{pairs: map[string]string{}, seen: map[string]bool{}, gateway: g, request: c}
	if c.Request().URL.RawQuery == "" {
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

// fileSetters are the fields there are. Others are passed over, as what newer
// clients may know.
var fileSetters = map[string]func(*fileFields, string) error{
	"purpose":                (*fileFields).setPurpose,
	"context":                (*fileFields).setContext,
	"media_type":             (*fileFields).setMediaType,
	"metadata":               (*fileFields).setMetadata,
	"tags":                   (*fileFields).addTags,
	"providers":              (*fileFields).addProviders,
	"allow_duplicates":       (*fileFields).setDuplicates,
	"expires_after[anchor]":  (*fileFields).setAnchor,
	"expires_after[seconds]": (*fileFields).setLife,
}

// isRepeated reports whether a field may be there more than once.
func isRepeated(name string) bool { return name == "tags" || name == "providers" }

// take reads a field of a form.
func (f *fileFields) take(part *multipart.Part) error {
	name := part.FormName()
	_, _, isPair := metadataKey(name)
	switch {
	case name == "file":
		return problem.WithParam("file", badRequest("the part file has no filename, and so is no file"))
	case !isPair && fileSetters[fieldOf(name)] == nil:
		return nil
	}
	value, err := io.ReadAll(io.LimitReader(part, maxFormField+1))
	if err != nil {
		return formError(err)
	}
	if len(value) > maxFormField {
		return problem.WithParam(name, badRequest(fmt.Sprintf("%s has more than %d bytes", name, maxFormField)))
	}
	return f.set(name, string(value))
}

// fieldOf returns the field that a name stands for: SDKs write those of lists with
// brackets behind them.
func fieldOf(name string) string {
	if base, ok := strings.CutSuffix(name, "[]"); ok && isRepeated(base) {
		return base
	}
	return name
}

// metadataKey takes the name metadata[key] apart, as which SDKs send objects. Nested
// is true where there is more than one key.
func metadataKey(name string) (key string, nested, ok bool) {
	key, ok = strings.CutPrefix(name, "metadata[")
	if !ok {
		return "", false, false
	}
	key, ok = strings.CutSuffix(key, "]")
	return key, strings.ContainsAny(key, "[]"), ok && key != ""
}

func (f *fileFields) set(name, value string) error {
	field := fieldOf(name)
	if key, nested, ok := metadataKey(name); ok {
		field = name
		if nested {
			return problem.WithParam(name, badRequest(name+": send metadata that is nested as one field of JSON"))
		}
		f.pairs[key] = value
	} else if fileSetters[field] == nil {
		return nil
	}
	if f.seen[field] && !isRepeated(field) {
		return problem.WithParam(field, badRequest(field+" is given more than once"))
	}
	f.seen[field] = true
	if setter := fileSetters[field]; setter != nil {
		if err := setter(f, value); err != nil {
			return problem.WithParam(field, err)
		}
	}
	return f.check()
}

func (f *fileFields) setPurpose(text string) error {
	f.file.Purpose = text
	return nil
}

func (f *fileFields) setContext(text string) error {
	f.file.Context = text
	return nil
}

func (f *fileFields) setMediaType(text string) (err error) {
	f.file.MediaType, err = declaredMediaType(text)
	return err
}

func (f *fileFields) setMetadata(text string) error {
	f.file.Metadata = json.RawMessage(text)
	return nil
}

func (f *fileFields) addTags(list string) error {
	if list == "" {
		return nil
	}
	for tag := range strings.SplitSeq(list, ",") {
		f.file.Tags = append(f.file.Tags, strings.TrimSpace(tag))
	}
	return nil
}

func (f *fileFields) addProviders(list string) error {
	if list == "" {
		return nil
	}
	if err := f.gateway.authorizeMore(f.request, access.ScopeSync); err != nil {
		return err
	}
	asked, err := f.gateway.knownProviders([]string{list})
	for _, provider := range asked {
		if !slices.Contains(f.providers, provider) {
			f.providers = append(f.providers, provider)
		}
	}
	return err
}

func (f *fileFields) setDuplicates(text string) error {
	allowed, err := strconv.ParseBool(text)
	if err != nil {
		return badRequest(fmt.Sprintf("allow_duplicates: %.100q is neither true nor false", text))
	}
	f.unique = !allowed
	return nil
}

func (f *fileFields) setAnchor(text string) error {
	if text != "created_at" {
		return badRequest(fmt.Sprintf("expires_after[anchor]: %.100q is not created_at, the only anchor there is", text))
	}
	f.anchor = text
	return nil
}

func (f *fileFields) setLife(text string) error {
	const least, most = int64(cas.MinFileLife / time.Second), int64(cas.MaxFileLife / time.Second)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return badRequest(fmt.Sprintf("expires_after[seconds]: %.100q is not a number from %d to %d", text, least, most))
	}
	f.life = time.Duration(n) * time.Second
	return nil
}

// setName takes the name that the file came with; of a path, as some clients send
// it, the last element. Quotes in it come as %22 from what follows the HTML standard
// (multipart/form-data encoding algorithm), browsers and Node among them.
func (f *fileFields) setName(name string) error {
	name = strings.ReplaceAll(name, "%22", `"`)
	f.file.Name = name[strings.LastIndexAny(name, `/\`)+1:]
	f.seen["name"] = true
	return f.check()
}

// check returns an error where something that was said can't be stored.
func (f *fileFields) check() error {
	size := 0
	for key, value := range f.pairs {
		size += len(key) + len(value)
	}
	if size > maxFormField {
		return &cas.InvalidField{Field: "metadata", Problem: fmt.Sprintf("has more than %d bytes", maxFormField)}
	}
	if len(f.pairs) > 0 && f.seen["metadata"] {
		return problem.WithParam("metadata", badRequest("metadata is given as JSON and key by key; send it one way"))
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

// finish returns an error where something is missing once all has been read.
func (f *fileFields) finish() error {
	switch {
	case !f.seen["purpose"]:
		return problem.WithParam("purpose", badRequest("purpose is missing; it is one of "+strings.Join(cas.Purposes, ", ")))
	case f.anchor != "" && f.life == 0:
		return problem.WithParam("expires_after[seconds]", badRequest("expires_after[anchor] is given, and expires_after[seconds] is missing"))
	}
	return nil
}

// newFile returns what the file is to be, where its part declared a media type.
func (f *fileFields) newFile(declared string) cas.NewFile {
	n := cas.NewFile{File: f.whole(), Unique: f.unique}
	if n.MediaType == "" {
		n.MediaType = declared
	}
	return n
}

// whole returns the file as it was described, but for its bytes.
func (f *fileFields) whole() cas.File {
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
