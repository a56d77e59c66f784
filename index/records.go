package index

import "casgate/cas/journal"

// maxRecordText bounds the texts of a record: longer ones can't be entered into an
// index of Postgres.
const maxRecordText = 255 // bytes

// StorableRecord is what an index keeps of a record. Some of its texts come from
// clients that were refused, and none is worth losing all records of a batch for; so
// what can't be stored is replaced, and what is too long is cut.
func StorableRecord(r journal.Record) journal.Record {
	r.ID, r.Actor, r.FileID, r.Provider = recordText(r.ID), recordText(r.Actor), recordText(r.FileID), recordText(r.Provider)
	r.Kind, r.Outcome, r.ErrorCode = recordText(r.Kind), recordText(r.Outcome), recordText(r.ErrorCode)
	return r
}

// StorableQuery makes a query find what StorableRecord has made of records.
func StorableQuery(q journal.Query) journal.Query {
	q.Kind, q.Actor, q.FileID = recordText(q.Kind), recordText(q.Actor), recordText(q.FileID)
	q.Provider, q.Outcome = recordText(q.Provider), recordText(q.Outcome)
	return q
}

// RecordID is what StorableRecord makes of a record's ID.
func RecordID(id string) string { return recordText(id) }

func recordText[T ~string](text T) T { return T(cut(string(storable(text)), maxRecordText)) }
