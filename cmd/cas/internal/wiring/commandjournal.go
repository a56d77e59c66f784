package wiring

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"casgate/cas/journal"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/problem"
)

// CommandJournal records the operations of a command that works without a gateway, as
// gateways record theirs.
type CommandJournal struct {
	writer *journal.Writer
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// StartJournal starts the journal of a command. It removes no old records; gateways do
// that. The caller must Close it.
func StartJournal(x journal.Store, log zerolog.Logger) *CommandJournal {
	ctx, stop := context.WithCancel(context.Background()) // operations are recorded also after Ctrl-C
	j := &CommandJournal{writer: journal.NewWriter(x, journal.WriterOptions{KeepAll: true, Gather: -1, Log: log}), stop: stop}
	j.done.Go(func() { _ = j.writer.Run(ctx) }) // it returns ctx's error, and logs all others
	return j
}

// Add records an operation that began at start and ends now, or with err.
func (j *CommandJournal) Add(r journal.Record, start time.Time, err error) {
	r.Actor = journal.ActorCLI
	j.writer.Add(endedNow(r, start, err))
}

// endedNow completes the record of an operation that ends now. If its subject is neither a
// blob nor a file, r.ID is the id of the subject; it becomes the end of the operation's id.
func endedNow(r journal.Record, start time.Time, err error) journal.Record {
	id := uuid.Must(uuid.NewV7()).String()
	if r.ID != "" {
		id += "." + r.ID
	}
	r.ID, r.Start, r.Duration, r.Outcome = id, start, time.Since(start), journal.OutcomeOK
	switch {
	case errors.Is(err, context.Canceled): // the user stopped the command
		r.Outcome = journal.OutcomeBroken
	case err != nil:
		r.Outcome, r.ErrorCode = journal.OutcomeFailed, string(problem.Of(err, "").Code)
	}
	return r
}

// Record runs one operation of a command on the index itself, and records it. If the record
// can't be stored, that is printed; the operation stays done. The operation may complete
// the record.
func Record(x journal.Store, std terminal.Streams, r *journal.Record, operation func() error) error {
	start := time.Now()
	err := operation()
	j := StartJournal(x, zerolog.New(std.Err).Level(zerolog.ErrorLevel))
	defer j.Close()
	j.Add(*r, start, err)
	return err
}

// Close stores the remaining records.
func (j *CommandJournal) Close() {
	j.stop()
	j.done.Wait()
}
