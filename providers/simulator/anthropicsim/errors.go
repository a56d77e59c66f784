package anthropicsim

import (
	"cmp"
	"crypto/rand"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// errorBody is an error as Anthropic writes it [D].
func errorBody(status int, code, message string) any {
	return map[string]any{
		"type":       "error",
		"error":      map[string]any{"type": cmp.Or(code, typeOf(status)), "message": message},
		"request_id": "req_011C" + rand.Text(),
	}
}

// typeOf returns the documented type of a status [D].
func typeOf(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 529:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

var row = simulator.UploadRow

// The rows that the simulator uses itself. Types and statuses are documented [D]; most
// messages are not.
var (
	errNoKey     = row(401, "authentication_error", "x-api-key header is required", simulator.RetryNo, simulator.Auth)
	errWrongKey  = row(401, "authentication_error", "invalid x-api-key", simulator.RetryNo, simulator.Auth)
	errNoVersion = row(400, "invalid_request_error", "anthropic-version: header is required", simulator.RetryNo, simulator.Permanent)
	errName      = row(400, "invalid_request_error", "Invalid filename: it must have 1-255 characters and must not contain forbidden characters", simulator.RetryNo, simulator.Permanent)
	errEmpty     = row(400, "invalid_request_error", "The file is empty", simulator.RetryNo, simulator.Permanent)
	errTooLarge  = row(413, "request_too_large", "File exceeds the maximum size of 500 MB", simulator.RetryNo, simulator.Permanent)
	errRate      = row(429, "rate_limit_error", "This request would exceed your organization's rate limit", simulator.RetryYes, simulator.Transient)
	errFull      = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 403, Code: "permission_error", Retry: simulator.RetryAfterRoom, Kinds: simulator.Quota, TooMany: true,
		Message: "Your organization has reached the storage limit of 1 TB",
	}
	errNotDownloadable = simulator.ErrorRow{
		Op: providers.OpDownload, Status: 400, Code: "invalid_request_error", Retry: simulator.RetryNo, Kinds: simulator.Permanent,
		Message: "File is not downloadable",
	}
	errNotFound = simulator.ErrorRow{
		Op: providers.OpRetrieve, Status: 404, Code: "not_found_error", Message: "File not found", Retry: simulator.RetryWithUpload, Kinds: simulator.Lost,
	}
)

// Errors are the errors of requests for files. The types and statuses are
// documented [D], except for a full storage [3P] and the billing errors [M].
var Errors = []simulator.ErrorRow{
	errNoKey, errWrongKey, errNoVersion, errName, errEmpty, errTooLarge, errRate, errFull, errNotDownloadable, errNotFound,
	row(403, "permission_error", "Your API key does not have permission to use the specified resource", simulator.RetryNo, simulator.Auth),
	row(402, "billing_error", "There is an issue with your billing or payment information", simulator.RetryNo, simulator.Quota),
	row(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.", simulator.RetryNo, simulator.Quota),
	row(500, "api_error", "Internal server error", simulator.RetryBounded, simulator.Unclear),
	row(504, "timeout_error", "The request timed out", simulator.RetryBounded, simulator.Unclear),
	row(529, "overloaded_error", "Overloaded", simulator.RetryYes, simulator.Transient),
}

// RateLimited returns a refusal for too many requests. The wait is in the header
// Retry-After; 0 means no header.
func RateLimited(wait time.Duration) simulator.Fault {
	return errRate.Waiting(wait)
}
