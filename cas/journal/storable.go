package journal

import "casgate/cas"

// maxText is the longest text of a record, in bytes. Postgres can't put much longer
// ones into an index.
const maxText = 255

// Storable returns a record as every index can store it. Some texts come from clients
// that were refused, and a bad text must not cost the whole batch. So characters that
// can't be stored are replaced, and long texts are cut.
func (r Record) Storable() Record {
	r.ID, r.Actor, r.FileID, r.Provider = storable(r.ID), storable(r.Actor), storable(r.FileID), storable(r.Provider)
	r.Kind, r.Outcome, r.ErrorCode = storable(r.Kind), storable(r.Outcome), storable(r.ErrorCode)
	return r
}

// Storable changes the texts of a query as Record.Storable does, so that the query
// finds the records.
func (q Query) Storable() Query {
	q.Kind, q.Actor, q.FileID = storable(q.Kind), storable(q.Actor), storable(q.FileID)
	q.Provider, q.Outcome = storable(q.Provider), storable(q.Outcome)
	return q
}

// StorableID changes the ID of a record as Record.Storable does.
func StorableID(id string) string { return storable(id) }

func storable[T ~string](text T) T { return cas.StorableText(text, maxText) }
