package openaisim

import (
	"strconv"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// errorBody is the shape of OpenAI's errors. The type follows from the status.
func errorBody(status int, code, message string) any {
	kind := "invalid_request_error"
	switch {
	case status == 429 && code == "insufficient_quota":
		kind = "insufficient_quota"
	case status == 429:
		kind = "requests"
	case status >= 500:
		kind = "server_error"
	}
	var nullable any // OpenAI sends null where it has no code
	if code != "" {
		nullable = code
	}
	return map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": nullable}}
}

var row = simulator.UploadRow

var (
	errWrongKey = row(401, "invalid_api_key", "Incorrect API key provided.", simulator.RetryNo, simulator.Auth)
	errPurpose  = row(400, "", "'nonsense' is not one of the purposes", simulator.RetryNo, simulator.Permanent)
	errTooLarge = row(413, "", "Maximum content size limit exceeded", simulator.RetryNo, simulator.Permanent)
	errEmpty    = row(400, "", "File is empty.", simulator.RetryNo, simulator.Permanent)
	errRate     = row(429, "rate_limit_exceeded", "Rate limit reached for requests", simulator.RetryYes, simulator.Transient)
	errQuota    = row(429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details.", simulator.RetryNo, simulator.Quota)
	errNotFound = simulator.ErrorRow{Op: providers.OpRetrieve, Status: 404, Message: "No such File object", Retry: simulator.RetryWithUpload, Kinds: simulator.Lost}
	errFull     = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Retry: simulator.RetryAfterRoom, Kinds: simulator.Quota, TooMany: true,
		Message: "You have exceeded your file storage quota. Please delete old files.",
	}
	// errTooMany is Azure's.
	errTooMany = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: "quotaExceeded", Retry: simulator.RetryAfterRoom, Kinds: simulator.Quota, TooMany: true,
		Message: "The quota for files without expiry is reached. The maximum is 500.",
	}
)

// Errors are those that file requests are known to be answered with.
var Errors = []simulator.ErrorRow{
	errWrongKey, errPurpose, errTooLarge, errEmpty, errRate, errNotFound, errFull, errTooMany, errQuota,
	row(403, "unsupported_country_region_territory", "Country, region, or territory not supported", simulator.RetryNo, simulator.Auth),
	row(500, "", "The server had an error while processing your request", simulator.RetryBounded, simulator.Unclear),
	row(503, "", "The engine is currently overloaded, please try again later", simulator.RetryYes, simulator.Unclear),
}

// RateLimited is a refusal because of the rate limit. The header Retry-After has the
// wait, if it isn't 0.
func RateLimited(wait time.Duration) simulator.Fault {
	return errRate.Waiting(wait)
}

// QuotaUsedUp is a refusal because the account's money is used up.
func QuotaUsedUp() simulator.Fault { return errQuota.Fault(1) }

// seconds is a Retry-After header's value: whole seconds, rounded up.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }
