package anthropic

import (
	"net/http"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// classifyError refines an error by Anthropic's types, which decide whatever the status
// is [D].
func (p *Provider) classifyError(e *providers.Error, body openaicompat.ErrorBody) {
	message := strings.ToLower(body.Message)
	switch strings.ToLower(body.Type) {
	case "rate_limit_error":
		e.Kind, e.TooMany = providers.KindTransient, true
		e.Hint = "the rate limit of the organisation is reached; slow down"
	case "overloaded_error":
		// 529: Anthropic's own load, and not this account's [D]. Assumed: it stores nothing then.
		e.Kind, e.TooMany, e.NotBegun = providers.KindTransient, false, true
	case "api_error", "timeout_error":
		// "An unexpected error" [D] may come after the file was stored.
		if e.Op == providers.OpUpload {
			e.Kind = providers.KindUnknown
		}
	case "authentication_error":
		e.Kind, e.Hint = providers.KindAuth, "check "+p.Variable("API_KEY")
	case "permission_error":
		classifyPermission(e, message)
	case "billing_error": // 402 [M]
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, false, checkBilling
	case "request_too_large":
		e.Kind, e.Hint = providers.KindPermanent, "split the file, or make it smaller: Anthropic takes 500 MB"
	case "invalid_request_error":
		classifyInvalidRequest(e, message)
	}
}

const (
	checkBilling = "check the organisation's plan and credit"
	makeRoom     = "delete files at Anthropic, which keeps 1 TB for an organisation"
)

// classifyPermission tells a full storage, which is a 403 [3P], from a key without
// permission. Assumed: the message names the storage; it is not published.
func classifyPermission(e *providers.Error, message string) {
	if e.Op == providers.OpUpload && namesStorage(message) {
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, true, makeRoom
		return
	}
	e.Kind, e.Hint = providers.KindAuth, "this key has no permission for this; check the key's workspace"
}

// namesStorage reports whether a message says that the storage is full.
func namesStorage(message string) bool {
	for _, word := range []string{"storage", "quota", "500 gb", "1 tb"} {
		if strings.Contains(message, word) {
			return true
		}
	}
	return false
}

// classifyInvalidRequest refines an invalid_request_error. Only its message tells the
// cause.
func classifyInvalidRequest(e *providers.Error, message string) {
	switch {
	case strings.Contains(message, "credit balance"), strings.Contains(message, "usage limits"):
		// "Your credit balance is too low to access the Anthropic API" is a 400 [L].
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, false, checkBilling
	case e.Op == providers.OpUpload && strings.Contains(message, "storage") && (strings.Contains(message, "limit") || strings.Contains(message, "exceed")):
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, true, makeRoom
	case strings.Contains(message, "filename"), strings.Contains(message, "file name"):
		e.Kind = providers.KindPermanent
		e.Hint = `a name has 1 to 255 characters, and none of <>:"|?*/ and no control characters`
	case strings.Contains(message, "empty"):
		e.Kind, e.Hint = providers.KindPermanent, "the file is empty; Anthropic can't use it"
	case e.Status == http.StatusOK: // an error within a success
		e.Kind = providers.KindPermanent
	}
}
