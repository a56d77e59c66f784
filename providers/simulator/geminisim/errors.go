package geminisim

import (
	"cmp"
	"fmt"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// errorBody is an error as Google's APIs write it [C].
func errorBody(status int, code, message string) any {
	return map[string]any{"error": map[string]any{"code": status, "message": message, "status": cmp.Or(code, statusOf(status))}}
}

// statusOf returns the word of a status [D].
func statusOf(status int) string {
	switch status {
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 503:
		return "UNAVAILABLE"
	case 504:
		return "DEADLINE_EXCEEDED"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

var row = simulator.UploadRow

const rateMessage = "You exceeded your current quota, please check your plan and billing details."

// The rows that the simulator uses itself.
var (
	errNoKey    = row(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.", simulator.RetryNo, simulator.Auth)
	errWrongKey = row(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", simulator.RetryNo, simulator.Auth)
	errTooLarge = row(400, "INVALID_ARGUMENT", "The file is larger than 2 GB", simulator.RetryNo, simulator.Permanent)
	errEmpty    = row(400, "INVALID_ARGUMENT", "The file is empty", simulator.RetryNo, simulator.Permanent)
	errTaken    = row(409, "ALREADY_EXISTS", "The file already exists", simulator.RetryNo, simulator.Permanent)
	errRate     = row(429, "RESOURCE_EXHAUSTED", rateMessage, simulator.RetryYes, simulator.Transient)
	errFull     = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 429, Code: "RESOURCE_EXHAUSTED", Retry: simulator.RetryAfterRoom, TooMany: true, Kinds: simulator.Quota,
		Message: "The project's file storage of 20 GB is exhausted (file_storage_bytes)",
	}
	errNotFound = simulator.ErrorRow{
		Op: providers.OpRetrieve, Status: 403, Code: "PERMISSION_DENIED", Retry: simulator.RetryWithUpload, Kinds: simulator.Lost,
		Message: "You do not have permission to access the File abc-123 or it may not exist.",
	}
)

// Errors are the errors of requests for files. The words and statuses are documented [D];
// most messages were published by users [L]. The message of a full storage is made up.
var Errors = []simulator.ErrorRow{
	errNoKey, errWrongKey, errTooLarge, errEmpty, errTaken, errRate, errFull, errNotFound,
	row(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", simulator.RetryNo, simulator.Auth),
	row(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", simulator.RetryNo, simulator.Auth),
	row(400, "FAILED_PRECONDITION", "User location is not supported for the API use without a billing account linked.", simulator.RetryNo, simulator.Quota),
	row(500, "INTERNAL", "An internal error has occurred.", simulator.RetryBounded, simulator.Unclear),
	row(503, "UNAVAILABLE", "The service is currently unavailable.", simulator.RetryYes, simulator.Unclear),
	row(504, "DEADLINE_EXCEEDED", "The request timed out.", simulator.RetryBounded, simulator.Unclear),
	{Op: providers.OpRetrieve, Status: 404, Code: "NOT_FOUND", Message: "Requested entity was not found.", Retry: simulator.RetryWithUpload, Kinds: simulator.Lost},
}

// RateLimited returns a refusal for too many requests. The wait is in the message; 0
// means that the message names none.
func RateLimited(wait time.Duration) simulator.Fault {
	f := errRate.Fault(1)
	if wait > 0 {
		f.Message = fmt.Sprintf("%s Please retry in %gs.", rateMessage, wait.Seconds())
	}
	return f
}
