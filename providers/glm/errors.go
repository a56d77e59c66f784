package glm

import (
	"slices"
	"strconv"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// Statuses that only this API has [D].
const (
	statusNoPermission = 434 // the API is in a beta that the account is not part of
	statusTooLarge     = 435
)

// group is codes that mean the same.
type group struct {
	codes   []int
	kind    providers.Kind
	tooMany bool
	hint    string
}

// groups are the codes of errors that are known [D]. They come as strings [L] or as
// numbers. GLM's documentation doesn't say which it uses for the size, the format
// and the purpose of a file.
var groups = []group{
	{codes: []int{1000, 1001, 1002, 1003, 1004, 1005, 1220}, kind: providers.KindAuth},
	{codes: []int{1110, 1111, 1112, 1121}, kind: providers.KindAuth, hint: "the account is closed, locked or not there; look at it in the provider's console"},
	{codes: []int{1113}, kind: providers.KindQuota, hint: "the account's balance is used up; top it up"},
	{codes: []int{1120, 1200, 1230, 1234}, kind: providers.KindTransient},
	{codes: []int{1210, 1211, 1212, 1213, 1214, 1215, 1221, 1222, 1261}, kind: providers.KindPermanent},
	{codes: []int{1301}, kind: providers.KindPermanent, hint: "the provider refuses what is in the file; it can't be used there"},
	{codes: []int{1302}, kind: providers.KindTransient, tooMany: true, hint: "the account limits how much may be asked; slow down"},
	{codes: []int{1305, 1312}, kind: providers.KindTransient}, // overloaded, whoever asks
	{
		codes: []int{1303, 1304, 1308, 1309, 1310, 1311, 1313, 1314, 1315, 1316, 1317, 1318, 1319, 1320, 1321},
		kind:  providers.KindQuota, hint: "what the account's plan allows is used up; wait for the next period, or change the plan",
	},
}

// invalidCall is assumed to be the code of a purpose that has its number of files,
// with a message that tells so.
const invalidCall = 1210

// saidOfMissing are codes that the delete of a file that isn't there may have. What
// is said of one is not documented. That these mean it is assumed: the request has
// nothing in it that could be wrong but the id.
var saidOfMissing = []int{1214, 1222}

// judge knows GLM's errors. What the body says comes before the status: errors may
// come with 200 [L].
func (p *Provider) judge(e *providers.Error, said openaicompat.Problem) {
	if e.Kind == providers.KindAuth {
		e.Hint = "" // a better one follows
	}
	code, err := strconv.Atoi(said.Code)
	i := slices.IndexFunc(groups, func(g group) bool { return err == nil && slices.Contains(g.codes, code) })
	switch {
	case e.Op == providers.OpDelete && slices.Contains(saidOfMissing, code), e.Kind == providers.KindLost:
		e.Kind = providers.KindLost
	case code == invalidCall && mentionsAny(said.Message, "文件数量", "number of files", "file count"):
		e.Kind, e.TooMany = providers.KindQuota, true
		e.Hint = "delete files of this purpose at the provider"
	case i >= 0:
		e.Kind, e.TooMany, e.Hint = groups[i].kind, groups[i].tooMany, groups[i].hint
	case e.Status == statusNoPermission, code == statusNoPermission:
		e.Kind = providers.KindAuth
		e.Hint = "the account may not manage files; ask the provider for access"
	case e.Status == statusTooLarge, code == statusTooLarge:
		e.Kind = providers.KindPermanent
		e.Hint = "split the file, or make it smaller"
	case code == 500 && e.Status < 300 && strings.Contains(said.Message, "Required request parameter"):
		// Called an internal error, it is the request that is wrong [L].
		e.Kind = providers.KindPermanent
	}
	if e.Kind == providers.KindAuth && e.Hint == "" {
		e.Hint = "check " + p.Variable("API_KEY") + " and " + p.Variable("BASE_URL") + ": the key must be one for that host"
	}
}

func mentionsAny(message string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(message, text) })
}
