package pgindex

import "fmt"

// What the tests explain.
var (
	ListFilesQuery   = listFiles
	ListRecordsQuery = listRecords
)

// LockJournal is what a transaction that appends to the journal does first.
var LockJournal = fmt.Sprintf("select pg_advisory_xact_lock(%d)", journalLock)
