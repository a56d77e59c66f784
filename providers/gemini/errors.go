package gemini

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// alreadyExists is the status of an upload whose chosen name is taken.
const alreadyExists = "ALREADY_EXISTS"

// parseErrorBody reads {"error":{"code":403,"message":…,"status":"PERMISSION_DENIED"}}
// [C]. A file whose processing failed has an error, too, but it is an answer.
func parseErrorBody(body []byte) openaicompat.ErrorBody {
	var file struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(body, &file) == nil && file.Name != "" {
		return openaicompat.ErrorBody{JSON: true}
	}
	return openaicompat.ParseErrorBody(body)
}

// classifyError refines an error by Google's status word, which decides whatever the HTTP
// status is.
func (p *Provider) classifyError(e *providers.Error, body openaicompat.ErrorBody) {
	if body.Status != "" {
		e.Code = body.Status
	}
	message := strings.ToLower(body.Message)
	switch strings.ToUpper(body.Status) {
	case "PERMISSION_DENIED":
		p.classifyPermission(e, message)
	case "NOT_FOUND":
		e.Kind = providers.KindPermanent
		if namesFile(e.Op) {
			e.Kind, e.Hint = providers.KindLost, ""
		}
	case "UNAUTHENTICATED":
		e.Kind, e.Hint = providers.KindAuth, "check "+p.client.Variable("API_KEY")
	case "RESOURCE_EXHAUSTED":
		classifyExhausted(e, message)
	case "INVALID_ARGUMENT":
		e.Kind = providers.KindPermanent
		if strings.Contains(message, "api key") { // "API key not valid" is a 400 [L]
			e.Kind, e.Hint = providers.KindAuth, "check "+p.client.Variable("API_KEY")
		}
	case "FAILED_PRECONDITION": // the free tier is not available, or billing is off [D]
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, false, checkBilling
	case alreadyExists:
		e.Kind = providers.KindPermanent
	case "UNAVAILABLE", "ABORTED":
		e.Kind = providers.KindTransient
	case "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED":
		// Such an error may come after the file was stored.
		e.Kind = providers.KindTransient
		if e.Op == providers.OpUpload {
			e.Kind = providers.KindUnknown
		}
	}
}

const (
	checkBilling = "check the project's plan and billing"
	makeRoom     = "delete files at Gemini, which keeps 20 GB for a project; files expire after 48 hours"
)

// namesFile reports whether a call is about one file.
func namesFile(op providers.Op) bool {
	return op == providers.OpRetrieve || op == providers.OpPoll || op == providers.OpDelete
}

// classifyPermission reads a 403. "You do not have permission to access the File X or it
// may not exist" [L] is about an unknown, deleted, expired or foreign file; confirmLost
// then asks the list.
func (p *Provider) classifyPermission(e *providers.Error, message string) {
	switch {
	case namesFile(e.Op) && strings.Contains(message, "file") && strings.Contains(message, "may not exist"):
		e.Kind, e.Hint = providers.KindLost, ""
	case strings.Contains(message, "billing"), strings.Contains(message, "overdue"):
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, false, checkBilling
	default:
		e.Kind, e.Hint = providers.KindAuth, "check "+p.client.Variable("API_KEY")+" and the project's billing"
	}
}

// retryIn matches the wait in a message, such as "Please retry in 34.07s." [L].
var retryIn = regexp.MustCompile(`retry in ([0-9.]+)s`)

// classifyExhausted tells a full storage from a rate limit; both are RESOURCE_EXHAUSTED.
// Assumed: the message of a full storage names the storage; it is not published.
func classifyExhausted(e *providers.Error, message string) {
	switch {
	case strings.Contains(message, "storage"):
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, true, makeRoom
	case strings.Contains(message, "credits are depleted"), strings.Contains(message, "spending cap"):
		e.Kind, e.TooMany, e.Hint = providers.KindQuota, false, checkBilling
	default:
		// "You exceeded your current quota, please check your plan and billing details" is
		// the usual message of the rate limit [L].
		e.Kind, e.TooMany, e.Hint = providers.KindTransient, true, "the rate limit of the project is reached; slow down"
	}
	if match := retryIn.FindStringSubmatch(message); match != nil && e.RetryAfter == 0 {
		if seconds, err := strconv.ParseFloat(match[1], 64); err == nil {
			e.RetryAfter = openaicompat.Wait(seconds)
		}
	}
}
