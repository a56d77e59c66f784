package sqliteindex

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"

	"casgate/cas"
)

// decodeMetadata reads a file's metadata, of which empty means {}.
func decodeMetadata(text json.RawMessage) (object map[string]any, err error) {
	if len(text) == 0 {
		return map[string]any{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&object)
	return object, err
}

// encodeMetadata writes what decodeMetadata has read, each key once.
func encodeMetadata(object map[string]any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(object)
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), err
}

// contains reports whether a value of JSON has all that another has, as Postgres's
// operator @> means it: an object has the other's keys, whose values contain the
// other's; an array has for each of the other's elements one that contains it, in
// whatever order; anything else is equal.
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
	case map[string]any, []any: // which can't be compared
		return false
	}
	return have == want
}

// decimal is the form of a number by which it is compared.
func decimal(n json.Number) string {
	if canonical, ok := cas.CanonicalNumber(n); ok {
		return canonical
	}
	return string(n) // no such number was let in
}

// A term stands for something that a file can be found by. Two things may share one.
type term = int64

func newTerm(kind byte, text []byte) term {
	sum := sha256.Sum256(append([]byte{kind}, text...))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func tagTerm(tag string) term { return newTerm('#', []byte(tag)) }

// metadataTerms returns terms of an object, of which one has all terms of the objects
// that it contains. Those of plain values come first: they tell more.
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
				// The length keeps keys apart from each other, and from what follows.
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

// fileTerms returns all terms of a file, each once.
func fileTerms(f cas.File, metadata map[string]any) []term {
	terms := metadataTerms(metadata)
	for _, tag := range f.Tags {
		terms = append(terms, tagTerm(tag))
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}
