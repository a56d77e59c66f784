package problem

import (
	"casgate/cas"
	"casgate/cas/access"
	"casgate/providers"
	"casgate/providers/ledger"
)

// A row describes a problem code. A new code is a row here and a line in openapi.yaml;
// a test compares them.
type row struct {
	status int
	title  string
	// retryAfter is the number of seconds after which the same request may succeed;
	// 0: repeating it is of no use.
	retryAfter int
	// sentinel is the error of the program with the same meaning: the gateway answers it
	// with this code, and the client's error matches it.
	sentinel error
	// causes are other errors that the gateway answers with this code. The client's
	// error doesn't match them, because the code doesn't tell which one it was.
	causes []error
	// advice is the detail of the answer if the text of the error must stay in the log,
	// because it may name hosts, paths and files. Empty: clients get the text.
	advice string
	// exit is the exit code of the command. 0: ExitUnavailable if the answer is
	// retryable, and otherwise ExitFailure.
	exit int
	// exitFinal replaces exit if the answer is not retryable.
	exitFinal int
	// provider: a provider refused or failed, or can't be reached.
	provider bool
	// bodyless: an answer without a body, such as one to HEAD, has this code if it has
	// this status.
	bodyless bool
}

// The problem codes. Where an error matches several rows, the first one decides.
var (
	InvalidDigest = add("invalid_digest", row{status: 400, title: "Invalid digest", sentinel: cas.ErrInvalidDigest, exit: ExitUsage})

	BlobNotFound = add("blob_not_found", row{status: 404, title: "No such blob", sentinel: cas.ErrBlobNotFound, exit: ExitNotFound, bodyless: true})
	BlobTooLarge = add("blob_too_large", row{status: 413, title: "Blob too large", sentinel: cas.ErrBlobTooLarge})
	BlobInUse    = add("blob_in_use", row{status: 409, title: "Blob in use", sentinel: cas.ErrBlobInUse})

	FileNotFound  = add("file_not_found", row{status: 404, title: "No such file", sentinel: cas.ErrFileNotFound, exit: ExitNotFound})
	DuplicateFile = add("duplicate_file", row{status: 409, title: "Duplicate file", sentinel: cas.ErrDuplicateFile})
	KeyReused     = add("idempotency_key_reused", row{status: 422, title: "Idempotency-Key reused", sentinel: cas.ErrKeyReused,
		advice: "In the last 24 hours this Idempotency-Key was used for an upload of other bytes, or with other parameters. The upload was refused. Send each upload with a key of its own."})
	OriginUnavailable = add("origin_unavailable", row{status: 503, title: "Imported file out of reach", retryAfter: 2,
		sentinel: cas.ErrOriginUnavailable, exit: ExitUnavailable,
		advice: "The bytes of this imported file can't be read where they lie. Nothing is lost; try again shortly."})

	ObjectMissing = add("object_missing", row{status: 502, title: "Object missing", sentinel: cas.ErrObjectMissing, exit: ExitCorrupt,
		advice: "The blob is known, but its bytes are missing in the object store. Uploading the blob again repairs it."})
	// ObjectCorrupt stands before DigestMismatch, because cas.ErrObjectCorrupt often
	// comes with cas.ErrDigestMismatch.
	ObjectCorrupt = add("object_corrupt", row{status: 502, title: "Object corrupt", sentinel: cas.ErrObjectCorrupt, exit: ExitCorrupt,
		advice: "The stored bytes are not those of the digest. Uploading the blob again repairs it."})
	DigestMismatch      = add("digest_mismatch", row{status: 422, title: "Digest mismatch", sentinel: cas.ErrDigestMismatch, exit: ExitCorrupt})
	RangeNotSatisfiable = add("range_not_satisfiable", row{status: 416, title: "Range not satisfiable", sentinel: cas.ErrRangeNotSatisfiable})

	Overloaded     = add("overloaded", row{status: 503, title: "Overloaded", retryAfter: 1, causes: []error{cas.ErrUploadRaced, cas.ErrKeyInUse}})
	RequestTimeout = add("request_timeout", row{status: 408, title: "Request too slow", retryAfter: 1})
	InvalidRequest = add("invalid_request", row{status: 400, title: "Invalid request", causes: []error{cas.ErrBodyRead}, bodyless: true, exit: ExitUsage,
		advice: "The body broke off before its declared end, or its chunks are malformed. Nothing was stored; send it again."})

	NoSpace = add("no_space", row{status: 507, title: "No space left", sentinel: cas.ErrNoSpace,
		advice: "The gateway's disk, its bucket or its database is full. The request was not acknowledged; send it again when there is room. Deleting makes room."})
	SpoolUnusable = add("spool_unusable", row{status: 503, title: "Spool folder unusable", retryAfter: 2,
		sentinel: cas.ErrSpoolUnusable, exit: ExitUnavailable,
		advice: "The gateway can't hold an upload of this size: its spool folder can't be used until an operator repairs it. The gateway's log and `cas doctor` name the folder and the cause. Nothing was stored."})
	IndexUnavailable = add("index_unavailable", row{status: 503, title: "Index unavailable", retryAfter: 2,
		sentinel: cas.ErrIndexUnavailable, exit: ExitUnavailable,
		advice: "The index can't be reached. Nothing is lost; try again shortly."})
	// StoreRefused stands before StoreUnavailable, which cas.ErrStoreRefused wraps.
	StoreRefused = add("store_refused", row{status: 502, title: "Object store refuses requests",
		sentinel: cas.ErrStoreRefused, exit: ExitUnavailable,
		advice: "The object store refuses the gateway's requests, and will until an operator corrects the gateway's settings or the store's, such as the owner of a folder: the gateway's log and `cas doctor` have its words."})
	StoreUnavailable = add("store_unavailable", row{status: 503, title: "Object store unavailable", retryAfter: 2,
		sentinel: cas.ErrStoreUnavailable, exit: ExitUnavailable,
		advice: "The object store can't be reached. Nothing is lost; try again shortly."})

	Unauthenticated = add("unauthenticated", row{status: 401, title: "Authentication needed", exit: ExitNotAllowed, bodyless: true})
	Forbidden       = add("forbidden", row{status: 403, title: "Not allowed", causes: []error{access.ErrBadSignature}, exit: ExitNotAllowed, bodyless: true})
	NotFound        = add("not_found", row{status: 404, title: "No such resource", causes: []error{access.ErrTokenNotFound, access.ErrKeyNotFound}})

	ProviderNotFound = add("provider_not_found", row{status: 404, title: "No such provider", sentinel: providers.ErrProviderNotFound, exit: ExitNotFound})
	CopyNotFound     = add("copy_not_found", row{status: 404, title: "No such copy", sentinel: ledger.ErrNotFound, exit: ExitNotFound})
	CopyInProgress   = add("copy_in_progress", row{status: 409, title: "Copy in progress", retryAfter: 1,
		sentinel: providers.ErrCopyInProgress, exit: ExitUnderWay})
	CopyDeleted = add("copy_deleted", row{status: 409, title: "Copy deleted", sentinel: providers.ErrCopyDeleted, exit: ExitRefused})
	// ReferenceUnreachable is the gateway's own setting, and no fault of the provider.
	ReferenceUnreachable = add("reference_unreachable", row{status: 409, title: "URL out of the provider's reach",
		sentinel: providers.ErrReferenceUnreachable, exit: ExitRefused})
	OperationNotFound = add("operation_not_found", row{status: 404, title: "No such operation", exit: ExitNotFound})

	// ModelNotFound, NoReference and RequestTooLarge are of requests to models.
	ModelNotFound   = add("model_not_found", row{status: 404, title: "No such model", exit: ExitNotFound})
	NoReference     = add("no_reference", row{status: 422, title: "Not for this provider's chats", exit: ExitRefused, provider: true})
	RequestTooLarge = add("request_too_large", row{status: 413, title: "Request too large"})

	ProviderRejected = add("provider_rejected", row{status: 422, title: "Not for this provider",
		causes: []error{providers.ErrNoReference, providers.ErrNoDownload}, exit: ExitRefused, provider: true})
	NoText              = add("no_text", row{status: 422, title: "No text found", exit: ExitRefused, provider: true})
	ProviderQuota       = add("provider_quota", row{status: 507, title: "Provider's account full", retryAfter: 60, exit: ExitRefused, provider: true})
	ProviderRateLimited = add("provider_rate_limited", row{status: 429, title: "Rate limited by the provider", retryAfter: 1, exit: ExitUnavailable, provider: true})
	ProviderFailed      = add("provider_failed", row{status: 502, title: "Provider failed", retryAfter: 2, exitFinal: ExitRefused, provider: true})
	ProviderUnavailable = add("provider_unavailable", row{status: 503, title: "Provider unavailable", retryAfter: 2, exit: ExitUnavailable, provider: true})
	ProviderTimeout     = add("provider_timeout", row{status: 504, title: "Provider timed out", retryAfter: 2, exit: ExitUnavailable, provider: true})

	MethodNotAllowed   = add("method_not_allowed", row{status: 405, title: "Method not allowed"})
	LengthRequired     = add("length_required", row{status: 411, title: "Length required"})
	PreconditionFailed = add("precondition_failed", row{status: 412, title: "Precondition failed"})
	UnsupportedMedia   = add("unsupported_media_type", row{status: 415, title: "Unsupported content coding"})
	TooManyRequests    = add("too_many_requests", row{status: 429, title: "Too many requests", retryAfter: 1})

	Internal = add("internal", row{status: 500, title: "Internal error",
		advice: "Something went wrong in the gateway. Its log has the details under the operation id."})
)

var (
	// codes has all codes in the order of the table.
	codes []Code
	// rows has the row of each code.
	rows map[Code]row
)

func add(code Code, r row) Code {
	if rows == nil {
		rows = map[Code]row{}
	}
	codes, rows[code] = append(codes, code), r
	return code
}
