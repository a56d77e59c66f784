// Package index holds what the drivers of cas.Index and ledger.Store share: the
// caches around them, and the feed of changes that keeps those caches right if
// several gateways share a database. The drivers are index/pgindex and
// index/sqliteindex; index/indextest is their conformance kit, and index/sqlrow the
// code for rows that they share.
package index

import (
	"context"
	"time"

	"casgate/cas"
)

// Feed reports all changes in an index, including those by other processes.
// pgindex.Index is one.
type Feed interface {
	// Listen calls l for every change until ctx is done, and then returns ctx's error. It
	// reconnects by itself. The calls come one at a time.
	Listen(ctx context.Context, l Listener) error
}

// Listener has a function for each kind of change in an index. A nil function is not
// called. The functions must not block.
type Listener struct {
	// BlobChanged is called for every blob that is no longer live.
	BlobChanged func(cas.Digest)
	// CopiesChanged is called for every blob with a copy or an extracted text that
	// changed. A change of only the time of the last use doesn't count.
	CopiesChanged func(cas.Digest)
	// FileDeleted is called for every file that was deleted, with its FilePlace.
	FileDeleted func(place cas.Digest)
	// Gap is called when announcements may have been missed: after every connect and
	// reconnect.
	Gap func()
	// State is called when the feed starts and stops listening. After State(false) no
	// change is reported until the next Gap, which comes before State(true).
	State func(listening bool)
	// Beat is called every few moments while the feed listens: all changes before sent
	// have been reported. Without a beat the feed may have gone silent.
	Beat func(sent time.Time)
}

// FanOut returns a listener that calls several listeners in their order, so that one
// Feed serves all of them. All its functions are set.
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
		FileDeleted: func(place cas.Digest) {
			for _, l := range ls {
				if l.FileDeleted != nil {
					l.FileDeleted(place)
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
		Beat: func(sent time.Time) {
			for _, l := range ls {
				if l.Beat != nil {
					l.Beat(sent)
				}
			}
		},
	}
}
