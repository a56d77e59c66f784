package sqliteindex

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"

	"casgate/cas"
)

// decodeMetadata decodes a file's metadata. Empty metadata is {}.
func decodeMetadata(text json.RawMessage) (object map[string]any, err error) {
	if len(text) == 0 {
		return map[string]any{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&object)
	return object, err
}

// encodeMetadata is the inverse of decodeMetadata. Each key occurs once.
func encodeMetadata(object map[string]any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(object)
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), err
}

// contains reports whether one JSON value contains another, as Postgres's operator @>
// defines it. An object contains an object if it has all its keys, and their values
// contain the other's values. An array contains an array if each element of the other
// is contained in one of its elements, in any order. All other values must be equal.
func contains(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		object, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range want {
			mine, ok := object[key]
			if !ok || !contains(mine, value) {
				return false
			}
		}
		return true
	case []any:
		array, ok := have.([]any)
		if !ok {
			return false
		}
		for _, value := range want {
			if !slices.ContainsFunc(array, func(mine any) bool { return contains(mine, value) }) {
				return false
			}
		}
		return true
	case json.Number:
		number, ok := have.(json.Number)
		return ok && decimal(number) == decimal(want)
	}
	switch have.(type) {
	case map[string]any, []any: // Go can't compare these
		return false
	}
	return have == want
}

// decimal returns the form in which two equal numbers are the same text.
func decimal(n json.Number) string {
	if canonical, ok := cas.CanonicalNumber(n); ok {
		return canonical
	}
	return string(n) // no such number was let in
}

// A term is a hash of something that files are searched by. Two things may share a term.
type term = int64

func newTerm(kind byte, text []byte) term {
	sum := sha256.Sum256(append([]byte{kind}, text...))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func tagTerm(tag string) term { return newTerm('#', []byte(tag)) }

// metadataTerms returns the terms of an object. An object has all terms of every object
// that it contains. The terms of plain values come first: they select fewer files.
func metadataTerms(object map[string]any) []term {
	var values, shapes []term
	var visit func(path []byte, value any)
	add := func(path []byte, kind byte, text string) {
		values = append(values, newTerm(kind, append(slices.Clip(path), text...)))
	}
	visit = func(path []byte, value any) {
		switch value := value.(type) {
		case map[string]any:
			if len(path) > 0 {
				shapes = append(shapes, newTerm('{', path))
			}
			for key, inner := range value {
				// The length separates a key from the next part of the path.
				step := binary.AppendUvarint(append(slices.Clip(path), '.'), uint64(len(key)))
				visit(append(step, key...), inner)
			}
		case []any:
			shapes = append(shapes, newTerm('[', path))
			for _, inner := range value {
				visit(append(slices.Clip(path), '*'), inner) // the same for all: order doesn't count
			}
		case json.Number:
			add(path, '0', decimal(value))
		case string:
			add(path, '"', value)
		case bool:
			if value {
				add(path, 't', "")
			} else {
				add(path, 'f', "")
			}
		case nil:
			add(path, 'n', "")
		}
	}
	visit(nil, object)
	return append(values, shapes...)
}

// fileTerms returns all terms of a file, without duplicates.
func fileTerms(f cas.File, metadata map[string]any) []term {
	terms := metadataTerms(metadata)
	for _, tag := range f.Tags {
		terms = append(terms, tagTerm(tag))
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}
