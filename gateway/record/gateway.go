package record

import (
	"errors"
	"net/http"
	"time"

	"casgate/cas"
	"casgate/cas/journal"
	"casgate/gateway/request"
	"casgate/providers/replicator"
)

// isRecordedLater reports whether work that a request has left to others goes on:
// its end makes the record, by Copy.
func isRecordedLater(failure error) bool {
	_, left := errors.AsType[replicator.Detached](failure)
	return left
}

var eventKinds = map[replicator.EventKind]journal.Kind{
	replicator.EventSynced:  journal.KindSync,
	replicator.EventDeleted: journal.KindUnsync,
	replicator.EventEvicted: journal.KindEvict,
}

// Copy records the end of work on a copy that no request was waiting for.
func (r *Recorder) Copy(e replicator.Event) {
	record := journal.Record{
		ID: e.OperationID, Kind: eventKinds[e.Kind], Actor: e.Actor, Digest: e.Copy.Digest, FileID: e.File, Provider: e.Copy.Provider,
		Start: e.Start, Duration: time.Since(e.Start), Outcome: journal.OutcomeOK,
	}
	if record.Actor == "" {
		record.Actor = journal.ActorGateway
	}
	if e.Err != nil {
		record.Outcome, record.ErrorCode = journal.OutcomeFailed, CodeOf(e.Err)
	} else if e.Kind == replicator.EventSynced {
		record.Bytes = e.Copy.Size
	}
	r.add(record, e.Err)
}

// RequestedCopy records a copy that an upload asked for if nothing more will come of
// it: the copy is ready, another operation makes it, or it can't be made.
func (r *Recorder) RequestedCopy(q replicator.Request, start time.Time, err error) {
	record := journal.Record{
		ID: q.OperationID, Kind: journal.KindSync, Actor: q.Actor, Digest: q.Digest, FileID: q.File, Provider: q.Provider,
		Start: start, Duration: time.Since(start),
	}
	record.Outcome, record.ErrorCode = outcome(err, http.StatusOK, false)
	r.add(record, err)
}

// FileTakenIn records an attempt to take in the bytes of an imported file at its first
// access.
func (r *Recorder) FileTakenIn(f cas.File, start time.Time, err error) {
	record := journal.Record{Kind: journal.KindBackfill, Digest: f.Digest, FileID: f.ID, Bytes: f.Size}
	if err != nil {
		record.Bytes = 0
	}
	r.addOwn(record, start, err)
}

// FileExpired records that a file has expired.
func (r *Recorder) FileExpired(f cas.File) {
	r.addOwn(journal.Record{Kind: journal.KindExpire, Digest: f.Digest, FileID: f.ID}, time.Now(), nil)
}

// KeyMade records that the gateway has made a key to sign URLs with.
func (r *Recorder) KeyMade(id string, start time.Time) {
	r.addOwn(journal.Record{ID: id, Kind: journal.KindKeyMade}, start, nil)
}

// addOwn records an operation that the gateway began by itself. If record has an ID,
// it is of the thing that the operation is about, and follows the operation's own.
func (r *Recorder) addOwn(record journal.Record, start time.Time, err error) {
	id := request.NewOperationID()
	if record.ID != "" {
		id += "." + record.ID
	}
	record.ID, record.Actor, record.Start, record.Duration = id, journal.ActorGateway, start, time.Since(start)
	record.Outcome, record.ErrorCode = outcome(err, http.StatusOK, false)
	r.add(record, err)
}

// add records, and logs, an operation that is not a request.
func (r *Recorder) add(record journal.Record, err error) {
	event := r.Log.Info()
	if err != nil {
		event = r.Log.Warn().Err(err)
	}
	event.Str("operation_id", record.ID).Str("kind", string(record.Kind)).Str("actor", record.Actor).Stringer("digest", record.Digest).
		Str("file", record.FileID).Str("provider", record.Provider).Int64("took_us", record.Duration.Microseconds()).Msg("operation")
	if r.Journal != nil {
		r.Journal.Add(record)
	}
}
