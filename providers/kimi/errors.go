package kimi

import (
	"cmp"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// waitHint matches the wait in Kimi's message about a rate limit [D].
var waitHint = regexp.MustCompile(`after (\d+(?:\.\d+)?) ?s`)

// countHint matches the limit in Kimi's message about the number of files [D].
var countHint = regexp.MustCompile(`max file count:? ?(\d+)`)

// classifyError refines an error by Kimi's types and messages. An error has a type; a
// code is optional, and rare [D].
func (p *Provider) classifyError(e *providers.Error, body openaicompat.ErrorBody) {
	e.Code = cmp.Or(body.Type, e.Code)
	switch strings.ToLower(body.Type) {
	case "invalid_request_error":
		classifyInvalidRequest(e, body.Message)
	case "":
		if e.Kind == providers.KindPermanent {
			classifyInvalidRequest(e, body.Message)
		}
	case "content_filter":
		e.Kind = providers.KindPermanent
		e.Hint = "Kimi refuses the content of the file"
	case "rate_limit_reached_error":
		e.Kind, e.TooMany = providers.KindTransient, true
		if e.RetryAfter == 0 {
			e.RetryAfter = waitFrom(body.Message)
		}
		e.Hint = "the rate limit of the account's tier is reached; slow down, or move to a higher tier"
	case "engine_overloaded_error":
		// A 429 that is not about this account.
		e.Kind, e.TooMany = providers.KindTransient, false
	case "exceeded_current_quota_error": // 429, and 403 in older documentation [D]
		e.Kind, e.TooMany = providers.KindQuota, false
		e.Hint = "check the account's plan and balance"
	}
	switch {
	case e.Kind == providers.KindAuth && e.Status == http.StatusForbidden:
		e.Hint = "this key has no permission for this; check " + p.keyAndHost()
	case e.Kind == providers.KindAuth:
		e.Hint = "check " + p.keyAndHost()
	case e.Kind == providers.KindTransient && e.Status >= 500 && strings.Contains(body.Message, "extract"):
		e.Hint = "if this repeats, check that the file is complete and of the type that its name says"
	}
}

func (p *Provider) keyAndHost() string {
	return p.Variable("API_KEY") + " and " + p.Variable("BASE_URL") + ": keys of api.moonshot.cn don't work at api.moonshot.ai, and vice versa"
}

// classifyInvalidRequest refines an invalid_request_error. Only its message tells the
// cause.
func classifyInvalidRequest(e *providers.Error, message string) {
	message = strings.ToLower(message)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if !strings.Contains(message, part) {
				return false
			}
		}
		return true
	}
	switch {
	case has("missing required header", "kimi-api-version"):
		// About one of six calls without the header got this answer during the rollout of
		// a new version in September 2026 [L]. The client must not send the header: it
		// changes the shapes of the answers [3P].
		e.Kind = providers.KindTransient
	case has("max file count"):
		e.Kind, e.TooMany = providers.KindQuota, true
		e.MaxFiles = maxFilesFrom(message)
		e.Hint = "delete files at Kimi, which keeps " + strconv.FormatInt(cmp.Or(e.MaxFiles, maxFiles), 10) + " for a user"
	case has("please delete previous uploaded files"):
		// "The size of files you have uploaded exceeded the max file size, please delete
		// previous uploaded files" [L]. The same end has the message about the count [D].
		e.Kind, e.TooMany = providers.KindQuota, true
		e.Hint = "delete files at Kimi, which keeps 10 GB for a user"
	case has("file size is too large"):
		e.Hint = "split the file, or make it smaller: Kimi takes 100 MB"
	case has("file size is zero"):
		e.Hint = "the file is empty; Kimi can't use it"
	case has("invalid purpose"):
		e.Hint = "use one of " + strings.Join([]string{purposeExtract, purposeImage, purposeVideo, purposeBatch}, ", ")
	case failureCode(message) == providers.CodeNoText:
		e.Code, e.Hint = providers.CodeNoText, noTextHint
	case has("text extract error"):
		e.Hint = "Kimi finds no text in the file; check that it is complete and of the type that its name says, or use another purpose"
	case has("exceed", "storage"), has("exceed", "total", "size"), has("exceed", "10", "gb"):
		// Assumed: other words for the 10 GB of an account.
		e.Kind, e.TooMany = providers.KindQuota, true
		e.Hint = "delete files at Kimi, which keeps 10 GB for a user"
	}
}

// failureCode returns the gateway's code for a message about the parsing of a file. The
// message "no content was parsed" was seen [L].
func failureCode(message string) string {
	if strings.Contains(message, "没有解析出内容") {
		return providers.CodeNoText
	}
	return ""
}

// maxFilesFrom reads "exceeded the max file count 1000" [D]. It returns 0 if there is no
// number.
func maxFilesFrom(message string) int64 {
	found := countHint.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	n, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return 0 // the number is out of range
	}
	return n
}

// waitFrom reads "please try again after 3 seconds".
func waitFrom(message string) time.Duration {
	found := waitHint.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0 // the number is out of range
	}
	return openaicompat.Wait(seconds)
}
