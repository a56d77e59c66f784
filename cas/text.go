package cas

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrInvalidText: a text can't be stored. Databases differ in the texts that they
// accept (Postgres has no NUL, SQLite accepts any bytes), so casgate refuses the same
// texts everywhere: those with NUL characters, and those that are not UTF-8.
var ErrInvalidText = errors.New("text is not valid UTF-8 without NUL characters")

// CheckText returns an error that wraps ErrInvalidText and names the field if text
// can't be stored.
func CheckText(field, text string) error {
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%s %q: %w", field, text, ErrInvalidText)
	}
	return nil
}

// StorableText returns a text that every index can store, of at most most bytes. It
// replaces characters that can't be stored, and cuts a long text at the end of a
// character. It is for texts that are not worth failing for.
func StorableText[T ~string](text T, most int) T {
	stored := strings.ReplaceAll(strings.ToValidUTF8(string(text), "\ufffd"), "\x00", "\ufffd")
	if len(stored) <= most {
		return T(stored)
	}
	for most > 0 && !utf8.RuneStart(stored[most]) {
		most--
	}
	return T(stored[:most])
}
