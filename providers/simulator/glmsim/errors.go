package glmsim

import (
	"slices"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

var (
	// The documentation doesn't say whether these are about the key, the budget or
	// the request; it says that they aren't for repeating.
	account = []providers.Kind{providers.KindAuth, providers.KindQuota, providers.KindPermanent}
)

var row = simulator.UploadRow

// The rows that the simulator uses itself.
var (
	errAuth         = row(401, "1000", "身份验证失败", simulator.RetryNo, simulator.Auth)
	errNoAuth       = row(401, "1001", "Header 中未收到 Authentication 参数，无法进行身份验证", simulator.RetryNo, simulator.Auth)
	errBadToken     = row(401, "1002", "Authentication Token 非法，请确认 Authentication Token 正确传递", simulator.RetryNo, simulator.Auth)
	errExpired      = row(401, "1003", "Authentication Token 已过期，请重新生成/获取", simulator.RetryNo, simulator.Auth)
	errRate         = row(429, "1302", "您的账户已达到速率限制，请您控制请求频率", simulator.RetryYes, simulator.Transient)
	errOverloaded   = row(429, "1305", "该模型当前访问量过大，请您稍后再试", simulator.RetryYes, simulator.Transient)
	errQuota        = row(429, "1113", "您的账户已欠费，请充值后重试", simulator.RetryNo, simulator.Quota)
	errNoPermission = row(434, "434", "暂无 API 权限，微调 API 及文件管理 API 为内测阶段，我们会尽快开放", simulator.RetryNo, []providers.Kind{providers.KindAuth, providers.KindPermanent})
	errTooLarge     = row(435, "435", "文件大小超过 100MB", simulator.RetryNo, simulator.Permanent)
	errTooMany      = simulator.ErrorRow{
		Op: providers.OpUpload, Status: 400, Code: "1210", Retry: simulator.RetryAfterRoom, TooMany: true,
		Message: "API 调用参数有误，请检查文档：文件数量超过上限 100",
		// Neither code nor message are published, so that an adapter may take it for a
		// wrong request.
		Kinds: []providers.Kind{providers.KindQuota, providers.KindPermanent},
	}
)

// Errors is GLM's table of errors. Where the documentation tells no HTTP status,
// it is an assumption.
var Errors = []simulator.ErrorRow{
	row(500, "500", "内部错误", simulator.RetryUnsaid, simulator.Unclear),
	errAuth, errNoAuth, errBadToken, errExpired,
	row(401, "1004", "通过 Authentication Token 的验证失败", simulator.RetryNo, simulator.Auth),
	row(401, "1005", "身份验证失败", simulator.RetryNo, simulator.Auth),
	row(401, "1110", "您的账户当前处于非活动状态。请检查账户信息", simulator.RetryNo, account),
	row(401, "1111", "您的账户不存在", simulator.RetryNo, account),
	row(401, "1112", "您的账户已被锁定，请联系客服解锁", simulator.RetryNo, account),
	errQuota,
	row(401, "1120", "无法成功访问您的账户，请稍后重试", simulator.RetryUnsaid, slices.Concat(simulator.Transient, account)),
	row(401, "1121", "账户存违规行为，账号已被锁定", simulator.RetryNo, account),
	row(500, "1200", "API 调用错误", simulator.RetryUnsaid, simulator.Unclear),
	row(400, "1210", "API 调用参数有误，请检查文档", simulator.RetryNo, simulator.Permanent),
	row(400, "1211", "模型不存在，请检查模型代码", simulator.RetryNo, simulator.Permanent),
	row(400, "1212", "当前模型不支持 files 调用方式", simulator.RetryNo, simulator.Permanent),
	row(400, "1213", "未正常接收到 purpose 参数", simulator.RetryNo, simulator.Permanent),
	row(400, "1214", "purpose 参数非法。请检查文档", simulator.RetryNo, simulator.Permanent),
	row(400, "1215", "purpose 与 knowledge_id 不能同时设置，请检查文档", simulator.RetryNo, simulator.Permanent),
	row(403, "1220", "您无权访问 files", simulator.RetryNo, simulator.Auth),
	row(400, "1221", "API files 已下线", simulator.RetryNo, simulator.Permanent),
	row(400, "1222", "API files 不存在", simulator.RetryNo, simulator.Permanent),
	row(500, "1230", "API 调用流程出错", simulator.RetryYes, simulator.Unclear),
	row(500, "1234", "网络错误，错误id：20261101，请联系客服", simulator.RetryYes, simulator.Unclear),
	row(400, "1261", "Prompt 超长", simulator.RetryNo, simulator.Permanent),
	row(400, "1301", "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合", simulator.RetryNo, simulator.Permanent),
	errRate,
	row(429, "1303", "您当前使用该 API 的频率过高，请降低频率，或联系客服增加限额", simulator.RetryNo, slices.Concat(simulator.Quota, simulator.Transient)),
	row(429, "1304", "该 API 已达今日调用次数限额，如有更多需求，请联系客服购买", simulator.RetryNo, simulator.Quota),
	errOverloaded,
	row(429, "1308", "已达到 100 次的使用上限。您的限额将在 2026-12-01 00:00:00 重置", simulator.RetryNo, simulator.Quota),
	row(429, "1309", "您的 GLM Coding Plan 套餐已到期，暂无法使用，前往官方续订后即可恢复", simulator.RetryNo, simulator.Quota),
	row(429, "1310", "您已达到每周/每月使用上限，您的限额将在 2026-12-01 00:00:00 重置", simulator.RetryNo, simulator.Quota),
	row(429, "1311", "当前订阅套餐暂未开放该模型权限", simulator.RetryNo, simulator.Quota),
	row(429, "1312", "该模型当前访问量过大，请您稍后再试，或切换其他模型", simulator.RetryYes, simulator.Transient),
	row(429, "1313", "您的账户当前使用模式不符合公平使用策略，请求频率已受到限制", simulator.RetryNo, simulator.Quota),
	errTooMany, errNoPermission, errTooLarge,
	row(400, "1214", "文件内容异常", simulator.RetryNo, simulator.Permanent),
	row(429, "1302", "上传文件频率过快", simulator.RetryYes, simulator.Transient),
}

// RateLimited is a refusal because of the rate limit. The header Retry-After has the
// wait, if it isn't 0.
func RateLimited(wait time.Duration) simulator.Fault {
	return errRate.Waiting(wait)
}

// Overloaded is a refusal because the service is overloaded.
func Overloaded() simulator.Fault { return errOverloaded.Fault(1) }

// QuotaUsedUp is a refusal because the account's money is used up.
func QuotaUsedUp() simulator.Fault { return errQuota.Fault(1) }
