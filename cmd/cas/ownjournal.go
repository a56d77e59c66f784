package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
)

// ownActor is who does what a command does by itself, without a gateway.
const ownActor = journal.ActorCLI

// ownJournal records what a command does by itself, as gateways record what they do.
type ownJournal struct {
	writer *journal.Writer
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// startJournal begins to write into the index. How long records are kept is the
// gateways' matter.
func startJournal(x journal.Store, log zerolog.Logger) *ownJournal {
	ctx, stop := context.WithCancel(context.Background()) // what was done is recorded, Ctrl-C or not
	j := &ownJournal{writer: journal.NewWriter(x, journal.WriterOptions{Retain: -1, Log: log}), stop: stop}
	j.done.Go(func() { _ = j.writer.Run(ctx) }) // it ends with ctx's error, and logs all others
	return j
}

// add records an operation that began at start and ends now, or with err.
func (j *ownJournal) add(r journal.Record, start time.Time, err error) {
	r.Actor = ownActor
	j.writer.Add(endedNow(r, start, err))
}

// endedNow completes the record of an operation that ends now. What it is about,
// where that is neither blob nor file, is to be in its ID, and comes behind the
// operation's.
func endedNow(r journal.Record, start time.Time, err error) journal.Record {
	id := uuid.Must(uuid.NewV7()).String()
	if r.ID != "" {
		id += "." + r.ID
	}
	r.ID, r.Start, r.Duration, r.Outcome = id, start, time.Since(start), journal.OutcomeOK
	if err != nil {
		r.Outcome, r.ErrorCode = journal.OutcomeFailed, string(errorCode(err))
	}
	return r
}

// recordOwn records one operation that a command did on the index itself. That it
// can't be recorded is said, and doesn't undo it.
func recordOwn(x journal.Store, std terminal.Streams, r journal.Record, start time.Time, err error) {
	j := startJournal(x, zerolog.New(std.Err).Level(zerolog.ErrorLevel))
	defer j.close()
	j.add(r, start, err)
}

// close writes out what is left.
func (j *ownJournal) close() {
	j.stop()
	j.done.Wait()
}

// errorCode is the code by which a gateway would tell of an error.
func errorCode(err error) api.Code {
	for _, one := range []struct {
		err  error
		code api.Code
	}{
		{cas.ErrObjectMissing, api.CodeObjectMissing},
		{cas.ErrDigestMismatch, api.CodeDigestMismatch},
		{cas.ErrBlobTooLarge, api.CodeBlobTooLarge},
		{cas.ErrNoSpace, api.CodeNoSpace},
		{cas.ErrIndexUnavailable, api.CodeIndexUnavailable},
		{cas.ErrStoreUnavailable, api.CodeStoreUnavailable},
		{cas.ErrOriginUnavailable, api.CodeStoreUnavailable},
		{access.ErrTokenNotFound, api.CodeNotFound},
		{access.ErrKeyNotFound, api.CodeNotFound},
	} {
		if errors.Is(err, one.err) {
			return one.code
		}
	}
	return api.CodeInternal
}
