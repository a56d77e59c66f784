package api

import (
	"encoding/json"
	"time"

	"casgate/cas"
	"casgate/gateway/problem"
)

// Copy is a blob at a provider.
type Copy struct {
	Digest   cas.Digest `json:"digest" see:"any"`
	Provider string     `json:"provider" see:"any"`
	// Account is the fingerprint of the credential that made the copy.
	Account   string `json:"account" see:"any"`
	Purpose   string `json:"purpose" see:"any"`
	Extension string `json:"extension,omitempty" see:"any"`
	// State is pending, uploading, processing, unverified (recorded by an old manager, and
	// checked before its first use), ready, failed, lost, evicted, deleting or deleted.
	State string `json:"state" see:"any"`
	// ProviderFileID is present after the provider has confirmed the file.
	ProviderFileID string     `json:"provider_file_id,omitempty" see:"any"`
	Name           string     `json:"name,omitempty"`
	Size           int64      `json:"size"` // bytes
	CreatedAt      time.Time  `json:"created_at"`
	ReadyAt        *time.Time `json:"ready_at,omitempty"`
	LastUsedAt     *time.Time `json:"last_used_at,omitempty"`
	ExpiresAt      *time.Time `json:"expires_at,omitempty" see:"any"`
	// NextAttemptAt is the time of the next attempt; before it, asking again is of no use.
	NextAttemptAt *time.Time     `json:"next_attempt_at,omitempty" see:"any"`
	Attempts      int            `json:"attempts" see:"any"`
	Error         *ProviderError `json:"error,omitempty" see:"any"`
	// OperationID names the running or last operation: GET /v1/operations/{id}.
	OperationID string `json:"operation_id,omitempty" see:"any"`
	// Created is only in the answer to an ensure. It is true if this request made the
	// copy.
	Created *bool `json:"created,omitempty" see:"any"`
	// Simulated: the provider is a simulator, and the real provider doesn't know the id.
	Simulated bool `json:"simulated,omitempty" see:"any"`
}

// The states of copies that are deleted.
const (
	CopyDeleting = "deleting" // the provider has not confirmed it yet
	CopyDeleted  = "deleted"
)

// ProviderError is the error of an attempt at a provider.
type ProviderError struct {
	Kind    string `json:"kind" see:"any"` // permanent, transient, unknown, lost, quota or auth
	Status  int    `json:"status,omitempty" see:"any"`
	Code    string `json:"code,omitempty" see:"any"`
	Message string `json:"message,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// AskedCopy is the state of a copy that an upload requested.
type AskedCopy struct {
	Provider string `json:"provider" see:"any"`
	// State is that of the copy; failed if the copy can't be made at all.
	State   string `json:"state" see:"any"`
	Purpose string `json:"purpose,omitempty" see:"any"`
	// OperationID names the running operation: GET /v1/operations/{id}.
	OperationID string `json:"operation_id,omitempty" see:"any"`
	// Error says why the copy can't be made, or not yet.
	Error *problem.Details `json:"error,omitempty" see:"any"`
}

// CopyList is the answer of GET /v1/blobs/{digest}/copies, and of DELETE of a
// blob's copies at a provider.
type CopyList struct {
	Copies []Copy `json:"copies" see:"any"`
}

// LostReport is the request of POST /v1/blobs/{digest}/copies/{provider}/lost.
type LostReport struct {
	// ProviderFileID is the id that the provider doesn't know; empty means the present
	// one.
	ProviderFileID string `json:"provider_file_id,omitempty"`
}

// Reference is the part of a request to a provider that uses a blob.
type Reference struct {
	Provider string `json:"provider" see:"any"`
	Kind     string `json:"kind" see:"any"`
	// Place is where in a request the value goes: part (an element of a message's content),
	// message (an element of messages) or value (of a field). Where says it in words.
	Place string `json:"place,omitempty" see:"any"`
	Where string `json:"where,omitempty" see:"any"`
	// Value is complete, ready to paste.
	Value json.RawMessage `json:"value" see:"any"`
	// Copy is the copy that the value names; absent if it names none.
	Copy      *Copy      `json:"copy,omitempty" see:"any"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" see:"any"`
	Simulated bool       `json:"simulated,omitempty" see:"any"`
	// Warning says why the reference may not work, such as a URL in a private network.
	Warning string `json:"warning,omitempty" see:"any"`
}
