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

// waitHint is how Kimi says in a message how long to wait [D].
var waitHint = regexp.MustCompile(`after (\d+(?:\.\d+)?) ?s`)

// judge knows Kimi's errors. An error has a type; a code is optional, and rare [D].
func (p *Provider) judge(e *providers.Error, said openaicompat.Problem) {
	e.Code = cmp.Or(said.Type, e.Code)
	switch said.Type {
	case "invalid_request_error":
		p.judgeRequest(e, said.Message)
	case "content_filter":
		e.Kind = providers.KindPermanent
		e.Hint = "Kimi refuses what is in the file; it can't be used there"
	case "rate_limit_reached_error":
		e.Kind, e.TooMany = providers.KindTransient, true
		if e.RetryAfter == 0 {
			e.RetryAfter = waitFrom(said.Message)
		}
		e.Hint = "the account's tier limits how much may be asked; slow down, or move to a higher one"
	case "engine_overloaded_error":
		// A 429 that isn't about us.
		e.Kind, e.TooMany = providers.KindTransient, false
	case "exceeded_current_quota_error": // 429, and 403 in older documentation [D]
		e.Kind, e.TooMany = providers.KindQuota, false
		e.Hint = "check the account's plan and balance"
	}
	switch {
	case e.Kind == providers.KindAuth && e.Status == http.StatusForbidden:
		e.Hint = "this key may not do this here; check " + p.whoAndWhere()
	case e.Kind == providers.KindAuth:
		e.Hint = "check " + p.whoAndWhere()
	case e.Kind == providers.KindTransient && e.Status >= 500 && strings.Contains(said.Message, "extract"):
		e.Hint = "if it goes on failing, check that the file is whole and of the kind its name says"
	}
}

func (p *Provider) whoAndWhere() string {
	return p.Variable("API_KEY") + " and " + p.Variable("BASE_URL") + ": keys of api.moonshot.cn don't work at api.moonshot.ai, nor the other way round"
}

// judgeRequest tells apart what Kimi calls an invalid request, which only the
// message does.
func (p *Provider) judgeRequest(e *providers.Error, message string) {
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
		// About one of six calls without the header was answered so while a new version
		// was rolled out in September 2026 [L]. It is not to be sent: with it answers have
		// other shapes [3P].
		e.Kind = providers.KindTransient
	case has("max file count"):
		e.Kind, e.TooMany = providers.KindQuota, true
		e.Hint = "delete files at Kimi, which keeps " + strconv.Itoa(maxFiles) + " for a user"
	case has("file size is too large"):
		e.Hint = "split the file, or make it smaller: Kimi takes 100 MB"
	case has("file size is zero"):
		e.Hint = "there is nothing in the file to be used"
	case has("invalid purpose"):
		e.Hint = "use one of " + strings.Join([]string{purposeExtract, purposeImage, purposeVideo, purposeBatch}, ", ")
	case has("text extract error"):
		e.Hint = "Kimi finds no text in the file; check that it is whole, and of the kind its name says, or use another purpose"
	case has("exceed", "storage"), has("exceed", "total", "size"), has("exceed", "10", "gb"):
		// The message about the 10 GB of an account is not published; assumed.
		e.Kind, e.TooMany = providers.KindQuota, true
		e.Hint = "delete files at Kimi, which keeps 10 GB for a user"
	}
}

// waitFrom reads "please try again after 3 seconds".
func waitFrom(message string) time.Duration {
	found := waitHint.FindStringSubmatch(message)
	if found == nil {
		return 0
	}
	seconds, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return 0 // too many digits for a number
	}
	return openaicompat.Wait(seconds)
}
