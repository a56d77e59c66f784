package openaicompat

import (
	"context"
	"time"
)

// timeoutError is the cause of the client's own time-outs.
type timeoutError string

// Error implements error.
func (e timeoutError) Error() string { return string(e) }

// The causes.
const (
	errNoAnswer = timeoutError("no answer in time")
	errNotTaken = timeoutError("the provider took no more bytes of the upload for 2 minutes")
	errTooSlow  = timeoutError("the transfer was too slow: less than 1 KiB a second after the first 5 minutes")
)

const (
	// After transferPatience of waiting for the provider, a transfer must have had
	// transferRate bytes for each further second.
	transferPatience = 5 * time.Minute
	transferRate     = 1 << 10
	// uploadIdle is how long a provider may take no bytes of an upload. It is longer than
	// answerTimeout, because the kernel takes the bytes in large pieces.
	uploadIdle = 2 * time.Minute
)

// watchdog cancels a transfer that makes too little progress. It counts only the time of
// waiting for the provider, between start and stop: a slow consumer of a download, or a
// slow source of an upload, is not the provider's fault. It is not safe for concurrent use.
type watchdog struct {
	cancel  context.CancelCauseFunc
	idle    time.Duration // one wait lasts at most this long
	idleErr timeoutError  // otherwise the cause is this

	began  time.Time
	timer  *time.Timer   // runs during a wait
	waited time.Duration // in all waits
	moved  int64         // bytes
}

// start begins a wait for the provider. It cancels the transfer if it was too slow so far.
func (w *watchdog) start() {
	if w.waited > transferPatience+time.Duration(w.moved)*time.Second/transferRate {
		w.cancel(errTooSlow)
	}
	w.began = time.Now()
	w.timer = time.AfterFunc(w.idle, func() { w.cancel(w.idleErr) })
}

// stop ends the wait, if there is one. It adds the bytes that moved.
func (w *watchdog) stop(moved int) {
	w.moved += int64(moved)
	if w.timer == nil {
		return
	}
	w.timer.Stop()
	w.timer = nil
	w.waited += time.Since(w.began)
}
