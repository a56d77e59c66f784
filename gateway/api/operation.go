package api

import "casgate/gateway/problem"

// Operation is a running operation, or one that has ended and is in the journal.
type Operation struct {
	ID string `json:"id"`
	// Kind is OperationSync or OperationDelete for a copy, and otherwise the Kind of the
	// record.
	Kind string `json:"kind"`
	// Status is one of the constants below.
	Status string `json:"status"`
	// Copy is the copy that the operation makes or deletes. If one operation deletes
	// several copies, it is one that still exists, if there is one: first one that needs no
	// operator.
	Copy *Copy `json:"copy,omitempty"`
	// Error says why the operation failed, or its last attempt.
	Error *problem.Details `json:"error,omitempty"`
	// Record is the record in the journal, if there is no copy, or the copy has a later
	// operation.
	Record *Record `json:"record,omitempty"`
}

// The kinds and states of operations.
const (
	OperationSync   = "sync"
	OperationDelete = "delete"

	OperationPending   = "pending"
	OperationRunning   = "running"
	OperationSucceeded = "succeeded"
	OperationFailed    = "failed"
)
