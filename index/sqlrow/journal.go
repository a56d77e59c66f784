package sqlrow

import (
	"time"

	"casgate/cas"
	"casgate/cas/journal"
)

// Journal is the table journal. A new record has no cursor: see Table.Without.
func Journal(d *Dialect) Table[journal.Entry] {
	type row = journal.Entry
	return New(d,
		Int("cursor", func(e *row) *journal.Cursor { return &e.Cursor }),
		Text("operation", func(e *row) *string { return &e.ID }),
		Text("kind", func(e *row) *journal.Kind { return &e.Kind }),
		Text("actor", func(e *row) *string { return &e.Actor }),
		NullDigest("digest", func(e *row) *cas.Digest { return &e.Digest }),
		Text("file_id", func(e *row) *string { return &e.FileID }),
		Text("provider", func(e *row) *string { return &e.Provider }),
		Time("started_at", func(e *row) *time.Time { return &e.Start }),
		Int("duration", func(e *row) *time.Duration { return &e.Duration }),
		Int("bytes", func(e *row) *int64 { return &e.Bytes }),
		Text("outcome", func(e *row) *journal.Outcome { return &e.Outcome }),
		Text("error_code", func(e *row) *string { return &e.ErrorCode }),
		Int("count", func(e *row) *int64 { return &e.Count }),
		NullTime("last_started_at", func(e *row) *time.Time { return &e.LastStart }),
	)
}

// JournalFilters returns the conditions of a query for records. A condition that
// follows from another one names the partial index that serves the query.
func JournalFilters(d *Dialect, q journal.Query) *Where {
	w := NewWhere(d)
	if q.Kind != "" {
		w.Add(`kind = ?`, string(q.Kind))
		if q.Kind != journal.KindUpload && q.Kind != journal.KindDownload {
			w.Add(`kind not in ('upload', 'download')`)
		}
	}
	// A condition on the indexed part of a value finds the rows.
	if q.Actor != "" {
		w.Add(`actor = ? and `+d.journalActor, q.Actor, q.Actor)
	}
	if !q.Digest.IsZero() {
		w.Add(`digest = ? and `+d.journalDigest, q.Digest[:], q.Digest[:])
	}
	if q.FileID != "" {
		w.Add(`file_id = ? and file_id <> '' and `+d.journalFile, q.FileID, q.FileID)
	}
	if q.Provider != "" {
		w.Add(`provider = ? and provider <> ''`, q.Provider)
	}
	if q.Outcome != "" {
		w.Add(`outcome = ?`, string(q.Outcome))
		if q.Outcome != journal.OutcomeOK {
			w.Add(`outcome <> 'ok'`)
		}
	}
	if !q.Since.IsZero() {
		// The bound on the beginning lets Postgres leave out older days.
		w.Add(`coalesce(last_started_at, started_at) >= ? and started_at >= ?`, d.Time(q.Since), d.Time(q.Since.Add(-journal.LongestGather)))
	}
	if !q.Until.IsZero() {
		w.Add(`started_at < ?`, d.Time(q.Until))
	}
	if q.Before != 0 {
		w.Add(`cursor < ?`, int64(q.Before))
	}
	if q.After != 0 {
		w.Add(`cursor > ?`, int64(q.After))
	}
	return w
}
