// Package index holds what the drivers of cas.Index have in common: the cache
// that goes around one of them, the feed of changes that keeps that cache right
// where several gateways share a database, and the rules for text. The drivers
// are index/pgindex and index/sqliteindex; index/indextest decides whether one
// is right.
package index

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"casgate/cas"
)

// Feed announces changes that other processes make to an index: blobs that stop
// being live. pgindex.Index is one.
type Feed interface {
	// Listen calls onChange for every blob whose row stopped being live, onGap
	// whenever announcements may have been missed (after every connect and
	// reconnect), and onState when it begins or ceases to hear announcements: after
	// onState(false) nothing is known until the next onGap, which comes before
	// onState(true). The calls come one at a time. Listen heals by itself and
	// returns only when ctx is done, with ctx's error.
	Listen(ctx context.Context, onChange func(cas.Digest), onGap func(), onState func(listening bool)) error
}

// ErrInvalidText: a name or media type can't be stored. Databases differ in what
// they take (Postgres has no NUL, SQLite anything), so all indexes refuse the
// same: NUL characters and what isn't UTF-8.
var ErrInvalidText = errors.New("text is not valid UTF-8 without NUL characters")

// CheckText returns an error that wraps ErrInvalidText, and names the field,
// where an index can't store value.
func CheckText(field, value string) error {
	if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("%s %q: %w", field, value, ErrInvalidText)
	}
	return nil
}

// CheckBlob returns an error where a blob can't be committed to any index: a
// clearer one than the database's, and one that does not call it unavailable.
func CheckBlob(b cas.Blob) error {
	if b.Size < 0 || b.Generation < 0 {
		return fmt.Errorf("commit blob %s: size %d and generation %d must not be negative", b.Digest.Short(), b.Size, b.Generation)
	}
	if err := CheckText("name", b.Name); err != nil {
		return fmt.Errorf("commit blob %s: %w", b.Digest.Short(), err)
	}
	if err := CheckText("media type", b.MediaType); err != nil {
		return fmt.Errorf("commit blob %s: %w", b.Digest.Short(), err)
	}
	return nil
}
