package pgindex

import "fmt"

// The queries that tests explain.
var (
	ListFilesQuery   = listFiles
	ListRecordsQuery = listRecords
)

// LockJournal is the first statement of a transaction that appends to the journal.
var LockJournal = fmt.Sprintf("select pg_advisory_xact_lock(%d)", journalLock)
