package glm

import (
	"slices"
	"strconv"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// HTTP statuses that only this API uses [D].
const (
	statusNoPermission = 434 // the API is in a beta that the account is not part of
	statusTooLarge     = 435
)

// codeGroup holds codes with the same meaning.
type codeGroup struct {
	codes   []int
	kind    providers.Kind
	tooMany bool
	hint    string
}

// codeGroups are the known codes of errors [D]. They are strings [L] or numbers. The
// documentation doesn't say which codes are for the size, the format and the purpose
// of a file.
var codeGroups = []codeGroup{
	{codes: []int{1000, 1001, 1002, 1003, 1004, 1005, 1220}, kind: providers.KindAuth},
	{codes: []int{1110, 1111, 1112, 1121}, kind: providers.KindAuth, hint: "the account is closed, locked or missing; check it in the provider's console"},
	{codes: []int{1113}, kind: providers.KindQuota, hint: "the account's balance is used up; top it up"},
	{codes: []int{1120, 1200, 1230, 1234}, kind: providers.KindTransient},
	{codes: []int{1210, 1211, 1212, 1213, 1214, 1215, 1221, 1222, 1261}, kind: providers.KindPermanent},
	{codes: []int{1301}, kind: providers.KindPermanent, hint: "the provider refuses the content of the file"},
	{codes: []int{1302}, kind: providers.KindTransient, tooMany: true, hint: "the account's rate limit is reached; slow down"},
	{codes: []int{1305, 1312}, kind: providers.KindTransient}, // the provider is overloaded
	{
		codes: []int{1303, 1304, 1308, 1309, 1310, 1311, 1313, 1314, 1315, 1316, 1317, 1318, 1319, 1320, 1321},
		kind:  providers.KindQuota, hint: "the quota of the account's plan is used up; wait for the next period, or change the plan",
	},
}

// invalidCall is assumed to be the code for a purpose that is full by its number of
// files. The message then says so.
const invalidCall = 1210

// missingFileCodes are the assumed codes for the delete of a missing file, which is
// not documented: in such a request only the id can be wrong.
var missingFileCodes = []int{1214, 1222}

// classifyError refines an error by GLM's codes. The body counts more than the status:
// errors may have status 200 [L].
func (p *Provider) classifyError(e *providers.Error, body openaicompat.ErrorBody) {
	if e.Kind == providers.KindAuth {
		e.Hint = "" // replaced below
	}
	code, err := strconv.Atoi(body.Code)
	i := slices.IndexFunc(codeGroups, func(g codeGroup) bool { return err == nil && slices.Contains(g.codes, code) })
	switch {
	case e.Op == providers.OpDelete && slices.Contains(missingFileCodes, code), e.Kind == providers.KindLost:
		e.Kind = providers.KindLost
	case code == invalidCall && mentionsAny(body.Message, "文件数量", "number of files", "file count"):
		e.Kind, e.TooMany = providers.KindQuota, true
		e.Hint = "delete files of this purpose at the provider"
	case i >= 0:
		e.Kind, e.TooMany, e.Hint = codeGroups[i].kind, codeGroups[i].tooMany, codeGroups[i].hint
	case e.Status == statusNoPermission, code == statusNoPermission:
		e.Kind = providers.KindAuth
		e.Hint = "the account may not manage files; ask the provider for access"
	case e.Status == statusTooLarge, code == statusTooLarge:
		e.Kind = providers.KindPermanent
		e.Hint = "split the file, or make it smaller"
	case code == 500 && e.Status < 300 && strings.Contains(body.Message, "Required request parameter"):
		// The answer calls it an internal error, but the request is wrong [L].
		e.Kind = providers.KindPermanent
	}
	if e.Kind == providers.KindAuth && e.Hint == "" {
		e.Hint = "check " + p.Variable("API_KEY") + " and " + p.Variable("BASE_URL") + ": the key must be one for that host"
	}
}

func mentionsAny(message string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(message, text) })
}
