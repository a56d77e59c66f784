package api

import (
	"encoding/json"
	"time"

	"casgate/cas"
	"casgate/gateway/problem"
)

// Copy is a blob at a provider.
type Copy struct {
	Digest   cas.Digest `json:"digest"`
	Provider string     `json:"provider"`
	// Account is the fingerprint of the credential it was made with.
	Account   string `json:"account"`
	Purpose   string `json:"purpose"`
	Extension string `json:"extension,omitempty"`
	// State is pending, uploading, processing, unverified (noted by an old manager, and
	// checked before its first use), ready, failed, lost, evicted, deleting or deleted.
	State string `json:"state"`
	// ProviderFileID is there once the provider has confirmed the file.
	ProviderFileID string     `json:"provider_file_id,omitempty"`
	Name           string     `json:"name,omitempty"`
	Size           int64      `json:"size"` // bytes
	CreatedAt      time.Time  `json:"created_at"`
	ReadyAt        *time.Time `json:"ready_at,omitempty"`
	LastUsedAt     *time.Time `json:"last_used_at,omitempty"`
	ExpiresAt      *time.Time `json:"expires_at,omitempty"`
	// NextAttemptAt is when work on it goes on by itself, or asking again makes sense.
	NextAttemptAt *time.Time     `json:"next_attempt_at,omitempty"`
	Attempts      int            `json:"attempts"`
	Error         *ProviderError `json:"error,omitempty"`
	// OperationID names the work under way, or last done: GET /v1/operations/{id}.
	OperationID string `json:"operation_id,omitempty"`
	// Created is in the answer to an ensure only: true where this request is the one
	// that made the copy.
	Created *bool `json:"created,omitempty"`
	// Simulated: the provider is a simulator, and the id is good for nothing else.
	Simulated bool `json:"simulated,omitempty"`
}

// The states of copies that are deleted.
const (
	CopyDeleting = "deleting" // the provider has not confirmed it yet
	CopyDeleted  = "deleted"
)

// ProviderError is why an attempt failed at a provider.
type ProviderError struct {
	Kind    string `json:"kind"` // permanent, transient, unknown, lost, quota or auth
	Status  int    `json:"status,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// AskedCopy is what became of a copy that an upload asked for.
type AskedCopy struct {
	Provider string `json:"provider"`
	// State is the copy's; failed where it can't be made at all.
	State   string `json:"state"`
	Purpose string `json:"purpose,omitempty"`
	// OperationID names the work under way: GET /v1/operations/{id}.
	OperationID string `json:"operation_id,omitempty"`
	// Error is why it can't be made, or can't yet.
	Error *problem.Details `json:"error,omitempty"`
}

// CopyList is the answer of GET /v1/blobs/{digest}/copies, and of DELETE of a
// blob's copies at a provider.
type CopyList struct {
	Copies []Copy `json:"copies"`
}

// LostReport is the request of POST /v1/blobs/{digest}/copies/{provider}/lost.
type LostReport struct {
	// ProviderFileID is the id that the provider denied; empty means the present one.
	ProviderFileID string `json:"provider_file_id,omitempty"`
}

// Reference is what goes into a request to a provider to use a blob.
type Reference struct {
	Provider string `json:"provider"`
	Kind     string `json:"kind"`
	// Where says in which part of a request the value goes.
	Where string `json:"where,omitempty"`
	// Value is ready to be pasted.
	Value json.RawMessage `json:"value"`
	// Copy is the copy it names; absent where none is needed.
	Copy      *Copy      `json:"copy,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	Simulated bool       `json:"simulated,omitempty"`
}

// Provider is what is known of a provider.
type Provider struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"`
	// Advice says how to configure it, where it isn't.
	Advice    string `json:"advice,omitempty"`
	Simulated bool   `json:"simulated,omitempty"`
	Account   string `json:"account,omitempty"`
	Host      string `json:"host,omitempty"`
	// Available: calls are let through.
	Available bool           `json:"available"`
	Breaker   string         `json:"breaker,omitempty"` // closed, open or half-open
	LastCheck *time.Time     `json:"last_check,omitempty"`
	LastError *ProviderError `json:"last_error,omitempty"`
	// Files and Bytes are what the gateway's copies take up there.
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
	MaxFiles int64     `json:"max_files,omitempty"` // of the account
	MaxBytes int64     `json:"max_bytes,omitempty"`
	Purposes []Purpose `json:"purposes,omitempty"`
}

// Purpose is what a file is stored for at a provider, with its limits.
type Purpose struct {
	Name       string           `json:"name"`
	Extensions []string         `json:"extensions,omitempty"` // none: any
	MaxSize    int64            `json:"max_size,omitempty"`   // bytes
	MaxSizeOf  map[string]int64 `json:"max_size_of,omitempty"`
	MaxFiles   int64            `json:"max_files,omitempty"`
	MaxBytes   int64            `json:"max_bytes,omitempty"`
	// Lifetime is how long the provider keeps a file, in seconds; absent: until it is
	// deleted.
	Lifetime int64 `json:"lifetime,omitempty"`
	Files    int64 `json:"files"`
	Bytes    int64 `json:"bytes"`
}

// ProviderList is the answer of GET /v1/providers.
type ProviderList struct {
	Providers []Provider `json:"providers"`
}

// Reconciliation is the answer of POST /v1/providers/{provider}/reconcile.
type Reconciliation struct {
	Provider string `json:"provider"`
	Account  string `json:"account"`
	Applied  bool   `json:"applied"`
	// Remote files and ledger rows were compared.
	Remote int `json:"remote"`
	Rows   int `json:"rows"`
	// Unknown are remote files that a casgate made and no row names; Gone are copies
	// whose remote file isn't there; Elsewhere are those at other accounts; Foreign
	// counts files of others.
	Unknown   []RemoteFile `json:"unknown"`
	Gone      []Copy       `json:"gone"`
	Elsewhere []Copy       `json:"elsewhere"`
	Foreign   int          `json:"foreign"`
	// Failures are what could not be mended.
	Failures []string `json:"failures,omitempty"`
}

// RemoteFile is a file as a provider lists it.
type RemoteFile struct {
	ID        string     `json:"id"`
	Name      string     `json:"name,omitempty"`
	Size      int64      `json:"size"`
	Purpose   string     `json:"purpose,omitempty"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
}

// Operation is something that was done, or is: work that goes on behind an answer,
// or what the journal has of one that ended.
type Operation struct {
	ID string `json:"id"`
	// Kind is OperationSync or OperationDelete where it is about a copy, else the
	// record's.
	Kind string `json:"kind"`
	// Status is one of the constants below.
	Status string `json:"status"`
	// Copy is what it is about. Of several that are deleted at once it is one that is
	// still there, where there is any.
	Copy *Copy `json:"copy,omitempty"`
	// Error is why it failed, or why the last attempt did.
	Error *problem.Details `json:"error,omitempty"`
	// Record is what the journal has kept, where the copy has a later operation by now,
	// or there is none.
	Record *Record `json:"record,omitempty"`
}

// The kinds of operations, and how far they are.
const (
	OperationSync   = "sync"
	OperationDelete = "delete"

	OperationPending   = "pending"
	OperationRunning   = "running"
	OperationSucceeded = "succeeded"
	OperationFailed    = "failed"
)
