package kimisim

import (
	"fmt"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// Types of errors that occur in several places.
const (
	invalidRequest   = "invalid_request_error"
	rateLimitReached = "rate_limit_reached_error"
)

// The rows that the simulator uses itself.
var (
	errPurpose = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryNo, Kinds: simulator.Permanent,
		Message: "Invalid purpose: nonsense, only `file-extract`, `batch`, `batch_output`, `lambda`, `image` and `video` accepted",
	}
	errTooLarge = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryNo, Kinds: simulator.Permanent,
		Message: "File size is too large, max file size is 100MB, please confirm and re-upload the file",
	}
	errEmpty = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryNo, Kinds: simulator.Permanent,
		Message: "File size is zero, please confirm and re-upload the file",
	}
	errTooManyFiles = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryAfterRoom, Kinds: simulator.Quota, TooMany: true,
		Message: tooManyFiles(MaxFiles),
	}
	errUnsupported = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryNo, Kinds: simulator.Permanent,
		Message: "text extract error: 不支持的文件类型",
	}
	errNothingParsed = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryNo, Kinds: simulator.Permanent,
		Message: "text extract error: 没有解析出内容", Means: providers.CodeNoText,
	}
	errNoKey = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 401, Code: "invalid_authentication_error", Retry: simulator.RetryNo, Kinds: simulator.Auth,
		Message: "Invalid Authentication",
	}
	errWrongKey = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 401, Code: "incorrect_api_key_error", Retry: simulator.RetryNo, Kinds: simulator.Auth,
		Message: "Incorrect API key provided",
	}
	errNotFound = simulator.ErrorRow{
		Op: providers.OpRetrieve, Status: 404, Code: "resource_not_found_error", Retry: simulator.RetryWithUpload, Kinds: simulator.Lost,
		Message: "The requested resource was not found",
	}
	errNoVersion = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryYes, Kinds: simulator.Transient,
		Message: "missing required header Kimi-Api-Version",
	}
	errVideo = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 500, Code: "InternalServerError", Retry: simulator.RetryBounded, Kinds: simulator.Unclear,
		Message: "Internal Server Error",
	}
	errOverloaded = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 429, Code: "engine_overloaded_error", Retry: simulator.RetryYes, Kinds: simulator.Transient,
		Message: "The engine is currently overloaded, please try again later",
	}
	errQuota = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 429, Code: "exceeded_current_quota_error", Retry: simulator.RetryNo, Kinds: simulator.Quota,
		Message: suspended,
	}
	// errFull has the message that Kimi's other host was seen to send [L]. That the API's
	// host sends it, too, is an assumption.
	errFull = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: invalidRequest, Retry: simulator.RetryAfterRoom, Kinds: simulator.Quota, TooMany: true,
		Message: "The size of files you have uploaded exceeded the max file size, please delete previous uploaded files",
	}
)

// Errors is Kimi's table of errors, as far as they concern files.
var Errors = []simulator.ErrorRow{
	{Op: providers.OpUpload, Status: 400, Code: "content_filter", Message: "The request was rejected because it was considered high risk", Retry: simulator.RetryNo, Kinds: simulator.Permanent},
	errPurpose, errTooLarge, errEmpty, errTooManyFiles, errFull, errUnsupported, errNothingParsed, errNoVersion,
	errNoKey, errWrongKey,
	{Op: providers.OpUpload, Status: 403, Code: "permission_denied_error", Message: "The API you are accessing is not open", Retry: simulator.RetryNo, Kinds: simulator.Auth},
	{Op: providers.OpUpload, Status: 403, Code: "permission_denied_error", Message: "You are not allowed to get other user info", Retry: simulator.RetryNo, Kinds: simulator.Auth},
	{Op: providers.OpUpload, Status: 403, Code: "permission_denied_error", Message: "Your IP is not allowed to access this API", Retry: simulator.RetryNo, Kinds: simulator.Auth},
	errNotFound,
	rateRow("RPM", 3, 20*time.Second),
	rateRow("concurrency", 1, time.Second),
	rateRow("TPM", 32000, 7*time.Second),
	rateRow("TPD", 1500000, 3600*time.Second),
	errOverloaded, errQuota,
	{Op: providers.OpUpload, Status: 429, Message: "You exceeded your current token quota, please check your account balance", Retry: simulator.RetryNo, Kinds: simulator.Quota},
	{Op: providers.OpUpload, Status: 429, Message: "Your account is in arrears, please recharge your account", Retry: simulator.RetryNo, Kinds: simulator.Quota},
	{Op: providers.OpUpload, Status: 429, Message: "insufficient balance", Retry: simulator.RetryNo, Kinds: simulator.Quota},
	{Op: providers.OpUpload, Status: 403, Code: "exceeded_current_quota_error", Message: suspended, Retry: simulator.RetryNo, Kinds: simulator.Quota},
	{Op: providers.OpUpload, Status: 499, Code: "client_closed_request", Message: "client closed request", Kinds: simulator.Unclear},
	{Op: providers.OpUpload, Status: 500, Code: "server_error", Message: "Failed to extract file: unexpected end of file", Retry: simulator.RetryBounded, Kinds: simulator.Unclear},
	{Op: providers.OpUpload, Status: 500, Code: "unexpected_output", Message: "invalid state transition", Retry: simulator.RetryBounded, Kinds: simulator.Unclear},
	errVideo,
	{Op: providers.OpUpload, Status: 503, Code: "server_unavailable", Message: "The server is unavailable, please try again later", Retry: simulator.RetryYes, Kinds: simulator.Unclear},
}

const suspended = "Your account org-5f3a<ak-simulated> is suspended, please check your plan and billing details"

func tooManyFiles(limit int) string {
	return fmt.Sprintf("The number of files you have uploaded exceeded the max file count %d, please delete previous uploaded files", limit)
}

func rateMessage(what string, limit, seconds int) string {
	return fmt.Sprintf("Your account org-5f3a<ak-simulated> request reached organization max %s: %d, please try again after %d seconds", what, limit, seconds)
}

func rateRow(what string, limit int, after time.Duration) simulator.ErrorRow {
	return simulator.ErrorRow{
		Op: providers.OpUpload, Status: 429, Code: rateLimitReached, Message: rateMessage(what, limit, int(after/time.Second)),
		Retry: simulator.RetryAfterHint, Kinds: simulator.Transient, TooMany: true, RetryAfter: after,
	}
}

// RateLimited is a refusal because of the rate limit. The message contains the wait, if
// it isn't 0.
func RateLimited(wait time.Duration) simulator.Fault {
	f := rateRow("RPM", 3, wait).Fault(1)
	if wait == 0 {
		f.Message = "Your account org-5f3a<ak-simulated> request reached organization max RPM: 3"
	}
	return f
}

// Overloaded is a refusal because the service is overloaded.
func Overloaded() simulator.Fault { return errOverloaded.Fault(1) }

// QuotaUsedUp is a refusal because the account's money is used up.
func QuotaUsedUp() simulator.Fault { return errQuota.Fault(1) }
