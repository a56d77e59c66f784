package index

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"casgate/cas"
)

// CheckNewFile returns a *cas.InvalidField where f can't be created in any index.
// What cas.File.Check refuses can't be.
func CheckNewFile(f cas.File) error {
	if !cas.IsFileID(f.ID) {
		return &cas.InvalidField{Field: "id", Problem: fmt.Sprintf("%.100q can't be a file's id", f.ID)}
	}
	if err := f.Check(); err != nil {
		return err
	}
	if len(f.Metadata) > 0 {
		if err := CheckMetadata(f.Metadata); err != nil {
			return err
		}
	}
	if o := f.Origin; o != nil {
		err := checkTexts(
			"source", o.Source, "key", o.Key, "provider", o.Provider, "file id", o.ProviderFileID, "error", o.Error)
		if err != nil {
			return &cas.InvalidField{Field: "origin", Problem: "has a " + err.Error()}
		}
	}
	return nil
}

// CheckImportedFile is CheckNewFile for files to import.
func CheckImportedFile(f cas.File) error {
	switch {
	case f.Origin == nil:
		return &cas.InvalidField{Field: "origin", Problem: "is missing"}
	case !f.IsPending():
		return &cas.InvalidField{Field: "digest", Problem: "is given; the bytes of imported files have yet to be taken in"}
	case f.Size < -1:
		return &cas.InvalidField{Field: "size", Problem: fmt.Sprintf("is %d; an unknown one is -1", f.Size)}
	}
	return CheckNewFile(f)
}

// CheckFileQuery returns an error where a page of files can't be asked for. It
// reports whether any file can match: there are none where a filter could not be
// stored.
func CheckFileQuery(q cas.FileQuery) (possible bool, err error) {
	if q.Limit < 1 {
		return false, fmt.Errorf("a limit of %d; it must be at least 1", q.Limit)
	}
	if err := CheckText("id", q.After.ID); err != nil {
		return false, &cas.InvalidField{Field: "after", Problem: "has an " + err.Error()}
	}
	if len(q.Metadata) > 0 {
		if err := CheckMetadata(q.Metadata); err != nil {
			return false, err
		}
	}
	return checkTexts("purpose", q.Purpose, "context", q.Context, "tag", q.Tag, "name", q.NamePrefix) == nil, nil
}

// FileReason is what an index keeps of the reason why a file's bytes could not be
// taken in. As with errors of copies, it is not worth failing for.
func FileReason(reason string) string { return storable(cut(reason, maxReason)) }

const maxReason = 1000 // bytes

// cut shortens a text to at most most bytes, at the end of a character.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// PrefixEnd returns the least text, by its bytes, that is greater than all those that
// begin with prefix; bounded is false where there is none.
func PrefixEnd(prefix string) (end string, bounded bool) {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch last {
		case utf8.MaxRune:
			continue // there is none after it, so the one before it must grow
		case 0xD7FF:
			last = 0xDFFF // what lies between them are no characters
		}
		return prefix + string(last+1), true
	}
	return "", false
}

// What metadata may have in it beyond the rules for JSON. Databases differ in these
// things too: Postgres writes out numbers in full, which makes of 1e100000 a hundred
// thousand digits; and each has its own idea of how deep is too deep.
const (
	maxMetadata       = 16 << 10 // bytes; files have their own bound
	maxMetadataDepth  = 64
	maxMetadataNumber = 128 // bytes
	maxExponent       = 400
)

// CheckMetadata returns a *cas.InvalidField unless metadata is a JSON object that all
// indexes can keep and look for.
func CheckMetadata(metadata json.RawMessage) error {
	invalid := func(problem string) error { return &cas.InvalidField{Field: "metadata", Problem: problem} }
	switch {
	case len(metadata) > maxMetadata:
		return invalid(fmt.Sprintf("has %d bytes of JSON; at most %d are looked at", len(metadata), maxMetadata))
	case !json.Valid(metadata) || bytes.TrimSpace(metadata)[0] != '{':
		return invalid(`is not a JSON object such as {"key":"value"}`)
	case !utf8.Valid(metadata) || !wholeEscapes(metadata):
		return invalid("has NUL characters, halves of characters, or is not UTF-8")
	}
	tokens := json.NewDecoder(bytes.NewReader(metadata))
	tokens.UseNumber()
	depth := 0
	for {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return invalid(err.Error())
		}
		switch token := token.(type) {
		case json.Delim:
			if depth += 1; token == '}' || token == ']' {
				depth -= 2
			}
			if depth > maxMetadataDepth {
				return invalid(fmt.Sprintf("is nested deeper than %d", maxMetadataDepth))
			}
		case json.Number:
			if _, ok := Decimal(token); !ok {
				return invalid(fmt.Sprintf("has the number %.50s; write it as a string", token))
			}
		}
	}
}

// wholeEscapes reports whether all \u in valid JSON stand for characters: not for
// NUL, and not for half of a surrogate pair.
func wholeEscapes(text []byte) bool {
	for {
		_, after, found := bytes.Cut(text, []byte{'\\'})
		if !found {
			return true
		}
		if after[0] != 'u' {
			text = after[1:]
			continue
		}
		r, rest := hexRune(after[1:5]), after[5:]
		if utf16.IsSurrogate(r) {
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' || utf16.DecodeRune(r, hexRune(rest[2:6])) == utf8.RuneError {
				return false
			}
			rest = rest[6:]
		}
		if r == 0 {
			return false
		}
		text = rest
	}
}

// hexRune reads hexadecimal digits, which there are in valid JSON.
func hexRune(digits []byte) rune {
	r, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return 0 // which is refused
	}
	return rune(r)
}

// IsEmptyObject reports whether metadata, which is an object, is {}.
func IsEmptyObject(metadata json.RawMessage) bool {
	inner := bytes.TrimSpace(metadata)
	return len(bytes.TrimSpace(inner[1:len(inner)-1])) == 0
}
