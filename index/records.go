package index

import "casgate/cas/journal"

// maxRecordText is the longest text of a record. Postgres can't put much longer ones
// into an index.
const maxRecordText = 255 // bytes

// StorableRecord returns a record as an index stores it. Some texts come from clients
// that were refused, and a bad text must not cost the whole batch. So characters that
// can't be stored are replaced, and long texts are cut.
func StorableRecord(r journal.Record) journal.Record {
	r.ID, r.Actor, r.FileID, r.Provider = recordText(r.ID), recordText(r.Actor), recordText(r.FileID), recordText(r.Provider)
	r.Kind, r.Outcome, r.ErrorCode = recordText(r.Kind), recordText(r.Outcome), recordText(r.ErrorCode)
	return r
}

// StorableQuery changes the texts of a query in the same way, so that it finds the
// records.
func StorableQuery(q journal.Query) journal.Query {
	q.Kind, q.Actor, q.FileID = recordText(q.Kind), recordText(q.Actor), recordText(q.FileID)
	q.Provider, q.Outcome = recordText(q.Provider), recordText(q.Outcome)
	return q
}

// RecordID changes the ID of a record in the same way.
func RecordID(id string) string { return recordText(id) }

func recordText[T ~string](text T) T { return T(cut(string(storable(text)), maxRecordText)) }
