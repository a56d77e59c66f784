package cas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The limits of metadata beyond the rules of JSON. Databases differ here: Postgres
// writes numbers in full (1e100000 becomes a hundred thousand digits), and each
// database has its own limit for nesting.
const (
	maxMetadata       = 16 << 10 // bytes of JSON
	maxMetadataDepth  = 64
	maxMetadataNumber = 128 // bytes
	maxExponent       = 400
)

// CheckMetadata returns an *InvalidField unless metadata is a JSON object that every
// index can store and search.
func CheckMetadata(metadata json.RawMessage) error {
	invalid := func(problem string) error { return &InvalidField{"metadata", problem} }
	switch {
	case len(metadata) > maxMetadata:
		return invalid(fmt.Sprintf("has %d bytes of JSON; at most %d are kept", len(metadata), maxMetadata))
	case !isJSONObject(metadata):
		return errNoObject
	case !IsStorableJSON(metadata):
		return invalid(NotStorableJSON)
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
			if _, ok := CanonicalNumber(token); !ok || len(token) > maxMetadataNumber {
				return invalid(fmt.Sprintf("has the number %.50s; write it as a string", token))
			}
		}
	}
}

var errNoObject = &InvalidField{"metadata", `is not a JSON object such as {"key":"value"}`}

func isJSONObject(text json.RawMessage) bool {
	return json.Valid(text) && bytes.TrimSpace(text)[0] == '{'
}

// NotStorableJSON says what is wrong with JSON that IsStorableJSON denies.
const NotStorableJSON = "has NUL characters or half a surrogate pair, or is not UTF-8"

// IsStorableJSON reports whether every index can store the texts in valid JSON, and they come
// back as they were.
func IsStorableJSON(text []byte) bool { return utf8.Valid(text) && wholeEscapes(text) }

// wholeEscapes reports whether every \u escape in valid JSON is a character: not NUL,
// and not half a surrogate pair. An escaped backslash before a u is no such escape.
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

// hexRune reads the four hexadecimal digits of a \u escape in valid JSON.
func hexRune(digits []byte) rune {
	r, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return 0 // the caller refuses NUL
	}
	return rune(r)
}

// CanonicalNumber returns a text that is the same for all JSON numbers of one value.
// Ok is false if its exponent is too large or too small to be stored.
func CanonicalNumber(number json.Number) (canonical string, ok bool) {
	text, exponentText, hasExponent := strings.Cut(strings.ToLower(string(number)), "e")
	exponent := 0
	if hasExponent {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return "", false
		}
	}
	text, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return "0", true
	}
	exponent += len(digits) - len(short)
	sign := ""
	if negative {
		sign = "-"
	}
	return sign + short + "e" + strconv.Itoa(exponent), true
}
