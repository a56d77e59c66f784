// Package index holds what the drivers of cas.Index and providers.Ledger have in
// common: the caches that go around one of them, the feed of changes that keeps
// those right where several gateways share a database, and the rules for what can
// be stored. The drivers are index/pgindex and index/sqliteindex; index/indextest
// decides whether one is right.
package index

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"casgate/cas"
)

// Feed announces what changes in an index, whoever changes it. pgindex.Index is
// one.
type Feed interface {
	// Listen tells l of changes until ctx is done; it heals by itself, and returns only
	// then, with ctx's error. The calls come one at a time.
	Listen(ctx context.Context, l Listener) error
}

// Listener is told of changes in an index. What is nil is not told. None of them may
// wait for anything.
type Listener struct {
	// BlobChanged is called for every blob whose row stopped being live.
	BlobChanged func(cas.Digest)
	// CopiesChanged is called for every blob of which a copy, or an extracted text,
	// changed in any way but when it was last used.
	CopiesChanged func(cas.Digest)
	// Gap is called whenever announcements may have been missed: after every connect
	// and reconnect.
	Gap func()
	// State is called when announcements begin or cease to be heard: after State(false)
	// nothing is known until the next Gap, which comes before State(true).
	State func(listening bool)
}

// FanOut returns a listener that tells others, in their order; so one Feed serves
// several. All its fields are set.
func FanOut(ls ...Listener) Listener {
	return Listener{
		BlobChanged: func(d cas.Digest) {
			for _, l := range ls {
				if l.BlobChanged != nil {
					l.BlobChanged(d)
				}
			}
		},
		CopiesChanged: func(d cas.Digest) {
			for _, l := range ls {
				if l.CopiesChanged != nil {
					l.CopiesChanged(d)
				}
			}
		},
		Gap: func() {
			for _, l := range ls {
				if l.Gap != nil {
					l.Gap()
				}
			}
		},
		State: func(listening bool) {
			for _, l := range ls {
				if l.State != nil {
					l.State(listening)
				}
			}
		},
	}
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
