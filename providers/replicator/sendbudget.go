package replicator

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// wasteRate is how many bytes a second may be sent in vain for one copy: after a failed
	// upload that sent n bytes, the copy is not sent again for n/wasteRate seconds, but at
	// most for lastDelay.
	wasteRate = 1 << 20
	// maxSends is how many failed uploads are remembered before those whose time has passed
	// are forgotten.
	maxSends = 1024
)

// sendBudget bounds the bytes that this process sends in vain.
type sendBudget struct {
	mu     sync.Mutex
	failed map[ledger.Key]failedSend
}

// failedSend is an upload that failed after it had sent bytes.
type failedSend struct {
	sent  int64
	until time.Time // not sent again before
	err   *providers.Error
}

func newSendBudget() *sendBudget { return &sendBudget{failed: make(map[ledger.Key]failedSend)} }

// spend records an upload of a copy that sent some bytes, and its outcome.
func (b *sendBudget) spend(k ledger.Key, sent int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil || sent == 0 {
		delete(b.failed, k)
		return
	}
	if len(b.failed) >= maxSends {
		for key, f := range b.failed {
			if time.Until(f.until) <= 0 {
				delete(b.failed, key)
			}
		}
	}
	wait := min(time.Duration(float64(sent)/wasteRate*float64(time.Second)), lastDelay)
	b.failed[k] = failedSend{sent: sent, until: time.Now().Add(wait), err: asError(err, k.Provider, providers.OpUpload)}
}

// wait returns how long a copy may not be sent again yet.
func (b *sendBudget) wait(k ledger.Key) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(time.Until(b.failed[k].until), 0)
}

// check returns an error if a copy may not be sent again yet.
func (b *sendBudget) check(k ledger.Key) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.failed[k]
	wait := time.Until(f.until)
	if wait <= 0 {
		return nil
	}
	return &providers.Error{
		Provider: k.Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: providers.CodeLimited, RetryAfter: wait,
		Message: fmt.Sprintf("an upload failed after %s had been sent, and is not repeated at once; it failed with: %v", humanize.IBytes(uint64(f.sent)), f.err),
		Hint:    "it is tried again later",
	}
}

// sentBytes counts the bytes of a content that are read. An adapter may still read the
// content when its upload has returned.
type sentBytes struct {
	io.ReadCloser
	sent *atomic.Int64
}

func (s sentBytes) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.sent.Add(int64(n))
	return n, err
}

// notMade reports whether an error says that a call was not made.
func notMade(err error) bool {
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Status == 0 && (e.Code == providers.CodeUnavailable || e.Code == providers.CodeLimited)
}
