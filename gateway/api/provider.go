package api

import "time"

// Provider describes a provider and its state.
type Provider struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"`
	// Advice says how to configure the provider, if Configured is false.
	Advice    string `json:"advice,omitempty"`
	Simulated bool   `json:"simulated,omitempty"`
	Account   string `json:"account,omitempty"`
	Host      string `json:"host,omitempty"`
	// Available: the gateway sends calls.
	Available bool           `json:"available"`
	Breaker   string         `json:"breaker,omitempty"` // closed, open or half-open
	LastCheck *time.Time     `json:"last_check,omitempty"`
	LastError *ProviderError `json:"last_error,omitempty"`
	// HeldUntil is the time before which no upload is sent, since the provider limits their rate.
	HeldUntil *time.Time `json:"held_until,omitempty"`
	// Files and Bytes count the gateway's copies at the provider.
	Files    int64     `json:"files"`
	Bytes    int64     `json:"bytes"`
	Listed   *Listed   `json:"listed,omitempty"`
	MaxFiles int64     `json:"max_files,omitempty"` // of the account
	MaxBytes int64     `json:"max_bytes,omitempty"`
	Purposes []Purpose `json:"purposes,omitempty"`
}

// Purpose is a purpose of files at a provider, with its limits.
type Purpose struct {
	Name       string           `json:"name"`
	Extensions []string         `json:"extensions,omitempty"` // none: any
	MaxSize    int64            `json:"max_size,omitempty"`   // bytes
	MaxSizeOf  map[string]int64 `json:"max_size_of,omitempty"`
	MaxFiles   int64            `json:"max_files,omitempty"`
	MaxBytes   int64            `json:"max_bytes,omitempty"`
	// Lifetime is how long the provider keeps a file, in seconds; absent: until the file
	// is deleted.
	Lifetime int64 `json:"lifetime,omitempty"`
	Files    int64 `json:"files"`
	Bytes    int64 `json:"bytes"`
	// Listed counts the provider's list by the purposes in it.
	Listed *Listed `json:"listed,omitempty"`
}

// Listed counts the files in a provider's list. The gateway counts them when the account
// is full, and at each reconciliation.
type Listed struct {
	At time.Time `json:"at"`
	// Files and Bytes are those of this installation, OthersFiles and OthersBytes all
	// others.
	Files       int64 `json:"files"`
	Bytes       int64 `json:"bytes"`
	OthersFiles int64 `json:"others_files"`
	OthersBytes int64 `json:"others_bytes"`
}

// ProviderList is the answer of GET /v1/providers.
type ProviderList struct {
	Providers []Provider `json:"providers"`
}

// Reconciliation is the answer of POST /v1/providers/{provider}/reconcile.
type Reconciliation struct {
	Provider string `json:"provider" see:"any"`
	Account  string `json:"account" see:"any"`
	Applied  bool   `json:"applied" see:"any"`
	// Remote and Rows count the compared remote files and rows of the ledger.
	Remote int `json:"remote" see:"any"`
	Rows   int `json:"rows" see:"any"`
	// Unknown are remote files that this installation made, and that no row names. Others
	// are the remote files of other installations of casgate. Gone are copies whose remote
	// file doesn't exist. Elsewhere are copies at other accounts. Foreign counts the remote
	// files of other programs.
	Unknown []RemoteFile `json:"unknown" see:"any"`
	Others  OthersFiles  `json:"others" see:"any"`
	Gone    []Copy       `json:"gone" see:"any"`
	// Deletes are copies that wait for their delete, although their remote file doesn't
	// exist. Misplaced are copies at other accounts whose remote files are in this
	// account's list: it is the same account with another key or name.
	Deletes   []Copy `json:"deletes" see:"any"`
	Misplaced []Copy `json:"misplaced" see:"any"`
	Elsewhere []Copy `json:"elsewhere" see:"any"`
	Foreign   int    `json:"foreign" see:"any"`
	// Failures are the differences that could not be repaired.
	Failures []string `json:"failures,omitempty"`
}

// OthersFiles counts the remote files of other installations of casgate.
type OthersFiles struct {
	Files    int          `json:"files" see:"any"`
	Bytes    int64        `json:"bytes"`
	Examples []RemoteFile `json:"examples" see:"any"` // a few of them
}

// RemoteFile is a file as a provider lists it.
type RemoteFile struct {
	ID        string     `json:"id" see:"any"`
	Name      string     `json:"name,omitempty"`
	Size      int64      `json:"size"`
	Purpose   string     `json:"purpose,omitempty" see:"any"`
	CreatedAt *time.Time `json:"created_at,omitempty"`
}
