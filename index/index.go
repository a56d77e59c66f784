// Package index holds what the drivers of cas.Index and providers.Ledger have in
// common: the caches that go around one of them, the feed of changes that keeps
// those right where several gateways share a database, and the rules for what can
// be stored. The drivers are index/pgindex and index/sqliteindex; index/indextest
// decides whether one is right.
package index

import (
	"context"

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

// ErrInvalidText is cas.ErrInvalidText.
var ErrInvalidText = cas.ErrInvalidText

// CheckText is cas.CheckText.
func CheckText(field, value string) error { return cas.CheckText(field, value) }
