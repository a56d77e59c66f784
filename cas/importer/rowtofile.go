package importer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"casgate/cas"
)

// The metadata keys under which an import keeps values of the old manager that have no
// field in a file.
const (
	// MetadataID is the old row's id.
	MetadataID = "imported_id"
	// MetadataName is the old name, if the file could not keep it unchanged.
	MetadataName = "imported_name"
	// MetadataType is the old type, if it is not one of cas.Purposes.
	MetadataType = "imported_type"
)

const (
	// defaultPurpose is the purpose of files whose type is not a purpose.
	defaultPurpose = "user_data"
	maxName        = 255     // bytes, of a file's name
	maxOldText     = 4 << 10 // bytes, of one value in the metadata
)

// FileID returns the id of a row's file: "file-" and the 32 digits of the row's id if
// that is a UUID, otherwise 40 digits that depend only on the source and the id. So an
// import can be repeated, and old ids can be mapped by hand.
func FileID(source, id string) string {
	if u, err := uuid.Parse(id); err == nil {
		return "file-" + hex.EncodeToString(u[:])
	}
	sum := sha256.Sum256([]byte(source + "\x00" + id))
	return "file-" + hex.EncodeToString(sum[:20])
}

// File converts a row to a file whose bytes are in source. The notes name the parts of
// the row that could not be kept. File returns an error if the row can't be imported.
func (r Row) File(source string, now time.Time) (f cas.File, notes []string, err error) {
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if r.Key == "" {
		return cas.File{}, nil, errors.New("it has no storage path")
	}
	if !utf8.ValidString(r.Key) || strings.IndexByte(r.Key, 0) >= 0 {
		return cas.File{}, nil, fmt.Errorf("its storage path %.100q is not valid UTF-8 without NUL characters", r.Key)
	}
	id := r.ID
	if id == "" {
		id = r.Key
	}
	metadata := map[string]json.RawMessage{}
	if r.Metadata != "" {
		if err := json.Unmarshal([]byte(r.Metadata), &metadata); err != nil || metadata == nil {
			metadata = map[string]json.RawMessage{}
			note("its metadata is left out: it is not a JSON object")
		}
	}
	old := map[string]string{MetadataID: r.ID}

	f = cas.File{
		ID: FileID(source, id), Name: cleanName(r.Name, r.Key), Size: r.size(note),
		CreatedAt:  r.time("creation", r.CreatedAt, now, note),
		AccessedAt: r.time("last access", r.AccessedAt, now, note),
		Origin:     &cas.Origin{Source: source, Key: r.Key, Digest: r.digest(note)},
	}
	if f.Name != r.Name {
		old[MetadataName] = r.Name
	}
	if f.CreatedAt.IsZero() {
		f.CreatedAt = now.UTC().Truncate(time.Microsecond)
	}
	if f.Purpose = strings.ToLower(strings.TrimSpace(r.Type)); !slices.Contains(cas.Purposes, f.Purpose) {
		f.Purpose = defaultPurpose
		old[MetadataType] = r.Type
	}
	if t := strings.TrimSpace(r.MediaType); t != "" {
		if _, _, err := mime.ParseMediaType(t); err != nil || !strings.Contains(t, "/") || len(t) > 255 || !utf8.ValidString(t) {
			note("its media type %.100q is left out: it is malformed", r.MediaType)
		} else {
			f.MediaType = cas.NormalMediaType(t) // empty for a type that says nothing, such as image/*
		}
	}
	r.copyAt(&f, note)
	if f.Metadata, err = withOld(metadata, old); err == nil {
		if len(f.Metadata) > 0 {
			err = cas.CheckMetadata(f.Metadata)
		}
	}
	if err != nil {
		note("its metadata is left out: %v", err)
		if f.Metadata, err = withOld(nil, old); err != nil {
			return cas.File{}, nil, err
		}
	}
	if err := f.Check(); err != nil {
		return cas.File{}, nil, err
	}
	return f, notes, nil
}

// withOld adds values of the old manager to the metadata.
func withOld(metadata map[string]json.RawMessage, old map[string]string) (json.RawMessage, error) {
	all := make(map[string]any, len(metadata)+len(old))
	for key, value := range metadata {
		all[key] = value
	}
	for key, text := range old {
		if text != "" {
			all[key] = cut(strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd"), maxOldText)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return json.Marshal(all)
}

// oldOf returns the values that withOld added to a file's metadata.
func oldOf(f cas.File) map[string]string {
	var metadata map[string]json.RawMessage
	if json.Unmarshal(f.Metadata, &metadata) != nil {
		return nil // the metadata was changed since
	}
	old := map[string]string{}
	for _, key := range []string{MetadataID, MetadataName, MetadataType} {
		var text string
		if json.Unmarshal(metadata[key], &text) == nil {
			old[key] = text
		}
	}
	return old
}

// OldID returns the id of the row that a file was imported from. It is empty if the file
// was not imported, or the row had no id.
func OldID(f cas.File) string {
	if f.Origin == nil {
		return ""
	}
	return oldOf(f)[MetadataID]
}

// size returns the recorded size, or -1 if there is none, or it is impossible.
func (r Row) size(note func(string, ...any)) int64 {
	text := strings.TrimSpace(r.Size)
	if text == "" {
		return -1
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		// Some programs write whole numbers with a decimal point.
		decimal, floatErr := strconv.ParseFloat(text, 64)
		if floatErr != nil || decimal != math.Trunc(decimal) || math.Abs(decimal) > 1<<53 {
			note("its size %.100q is left out: it is not a number", r.Size)
			return -1
		}
		n = int64(decimal)
	}
	if n < 0 {
		note("its size %d is left out: it is negative", n)
		return -1
	}
	return n
}

// digest returns the recorded digest, in upper or lower case, or zero if there is none.
func (r Row) digest(note func(string, ...any)) cas.Digest {
	text := strings.ToLower(strings.TrimSpace(r.SHA256))
	if text == "" {
		return cas.Digest{}
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "sha256:"), `\x`) // as Postgres writes bytes
	d, err := cas.ParseDigest("sha256:" + text)
	if err != nil {
		note("its SHA-256 %.100q is left out: it is malformed", r.SHA256)
	}
	return d
}

// timeForms are the accepted forms of times: that of JSON, that of Postgres, and both
// without a zone, which means UTC.
var timeForms = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999Z07",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999",
	time.DateOnly,
}

// time returns a recorded time, or zero if there is none, or it is impossible.
func (r Row) time(what, text string, now time.Time, note func(string, ...any)) time.Time {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}
	}
	for _, form := range timeForms {
		t, err := time.Parse(form, text)
		switch {
		case err != nil:
		case t.Year() < 1970 || t.After(now.Add(time.Hour)):
			note("its time of %s %.100q is left out: it is before 1970, or in the future", what, text)
			return time.Time{}
		default:
			return t.UTC().Truncate(time.Microsecond)
		}
	}
	note("its time of %s %.100q is left out: it is malformed", what, text)
	return time.Time{}
}

// copyAt sets the copy that the old manager recorded, if it has a provider and an id.
func (r Row) copyAt(f *cas.File, note func(string, ...any)) {
	provider, id := strings.ToLower(strings.TrimSpace(r.Provider)), strings.TrimSpace(r.ProviderFileID)
	switch {
	case id == "":
	case provider == "" || len(provider) > 64 || len(id) > 512 || !printable(provider) || !printable(id):
		note("its copy %.100q at provider %.100q is left out: they can't be names", r.ProviderFileID, r.Provider)
	default:
		f.Origin.Provider, f.Origin.ProviderFileID = provider, id
	}
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// cleanName returns a valid name for a file: without folders and control characters,
// not too long, and not empty.
func cleanName(name, key string) string {
	for _, candidate := range []string{name, path.Base(key)} {
		candidate = strings.ToValidUTF8(candidate, "\ufffd")
		candidate = strings.TrimRight(candidate, `/\`)
		candidate = candidate[strings.LastIndexAny(candidate, `/\`)+1:]
		candidate = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return -1
			}
			return r
		}, candidate)
		if strings.TrimSpace(candidate) != "" && candidate != "." && candidate != ".." {
			return shortenName(candidate)
		}
	}
	return "unnamed"
}

// shortenName shortens a name that is too long, and keeps its extension.
func shortenName(name string) string {
	if len(name) <= maxName {
		return name
	}
	extension := path.Ext(name)
	if len(extension) > 32 {
		extension = ""
	}
	return cut(strings.TrimSuffix(name, extension), maxName-len(extension)) + extension
}

// cut shortens a text to at most `most` bytes, at the end of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
