package openaicompat

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ErrorBody holds the fields that an answer's body gives about a failure. Providers
// use several shapes. A field that the body doesn't have is empty.
type ErrorBody struct {
	Type    string
	Code    string // numbers in decimal
	Message string
	// Status is a word, as Google's APIs have it in addition to a number as the code.
	Status string
	// Stated: the body says that the call failed, even if the HTTP status is 2xx.
	Stated bool
	// JSON: the body is a JSON object. Then it comes from the provider, and not from a
	// proxy in front of it.
	JSON bool
}

// HasDetail reports whether the body names the failure at all.
func (p ErrorBody) HasDetail() bool { return p.Type != "" || p.Code != "" || p.Message != "" }

// ParseErrorBody reads the body of an answer. It knows these shapes:
//
//	{"error":{"message":…,"type":…,"code":…}}   OpenAI, and most others
//	{"error":"…"}
//	{"msg":…,"code":500}                        GLM, with status 200
//	{"code":"…","message":"…"}                  DashScope, Mistral
//	{"detail":…}                                Mistral, for a request that doesn't validate
func ParseErrorBody(body []byte) ErrorBody {
	var envelope struct {
		Error   json.RawMessage `json:"error"`
		Success json.RawMessage `json:"success"`
		bodyFields
	}
	if !isObject(body) || json.Unmarshal(body, &envelope) != nil {
		return ErrorBody{}
	}
	p := envelope.errorBody()
	p.Stated = p.Code != "" && p.Message != "" && !slices.Contains([]string{"0", "200", "success", "ok"}, strings.ToLower(p.Code)) ||
		string(envelope.Success) == "false"
	if isObject(envelope.Error) {
		var inner bodyFields
		if json.Unmarshal(envelope.Error, &inner) == nil {
			if within := inner.errorBody(); within.HasDetail() {
				p = within
				p.Stated = true
			}
		}
	} else if text := loose(envelope.Error); text != "" && text != "false" {
		p.Message, p.Stated = text, true
	}
	p.JSON = true
	return p
}

// bodyFields are the fields of an error. Their JSON types vary.
type bodyFields struct {
	Type    json.RawMessage `json:"type"`
	Code    json.RawMessage `json:"code"`
	Message json.RawMessage `json:"message"`
	Status  json.RawMessage `json:"status"`
	Msg     json.RawMessage `json:"msg"`
	Detail  json.RawMessage `json:"detail"`
}

func (f bodyFields) errorBody() ErrorBody {
	p := ErrorBody{Type: loose(f.Type), Code: loose(f.Code), Message: loose(f.Message), Status: loose(f.Status)}
	for _, other := range []json.RawMessage{f.Msg, f.Detail} {
		if p.Message == "" {
			p.Message = loose(other)
		}
	}
	return p
}

// loose returns a JSON value as text: the content of a string, an empty text for
// null and empty values, and the JSON itself for all other values.
func loose(value json.RawMessage) string {
	value = bytes.TrimSpace(value)
	switch string(value) {
	case "", "null", "{}", "[]":
		return ""
	}
	var text string
	if value[0] == '"' && json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

func isObject(value []byte) bool {
	value = bytes.TrimSpace(value)
	return len(value) > 0 && value[0] == '{'
}

// statusWithin returns the HTTP status that the body's code or type stands for if the
// answer's status is 2xx or 1xx; otherwise it returns the answer's status.
func (p ErrorBody) statusWithin(status int) int {
	if status >= 300 {
		return status
	}
	if code, err := strconv.Atoi(p.Code); err == nil && code >= 400 && code < 600 {
		return code
	}
	for _, word := range []string{p.Code, p.Type} {
		if stands, ok := statusOfWord[strings.ToLower(word)]; ok && p.Stated {
			return stands
		}
	}
	return status
}

// statusOfWord has the status with which a provider usually sends a code or a type of an
// error. An answer with status 200 may have it, too.
var statusOfWord = map[string]int{
	// OpenAI and its likes [D].
	"invalid_api_key":       http.StatusUnauthorized,
	"invalid_request_error": http.StatusBadRequest,
	"not_found_error":       http.StatusNotFound,
	"server_error":          http.StatusInternalServerError,
	// Kimi [D].
	"invalid_authentication_error": http.StatusUnauthorized,
	"incorrect_api_key_error":      http.StatusUnauthorized,
	"permission_denied_error":      http.StatusForbidden,
	"resource_not_found_error":     http.StatusNotFound,
	"rate_limit_reached_error":     http.StatusTooManyRequests,
	"engine_overloaded_error":      http.StatusTooManyRequests,
	"content_filter":               http.StatusBadRequest,
	"unexpected_output":            http.StatusInternalServerError,
	"internalservererror":          http.StatusInternalServerError,
	"server_unavailable":           http.StatusServiceUnavailable,
	// Anthropic [D].
	"authentication_error": http.StatusUnauthorized,
	"permission_error":     http.StatusForbidden,
	"request_too_large":    http.StatusRequestEntityTooLarge,
	"rate_limit_error":     http.StatusTooManyRequests,
}

// balanceWords are parts of messages that speak of an account's money. The English ones
// have been seen at Kimi [C]; that others use them, and the Chinese ones, is assumed.
// "quota" or "balance" alone is not enough: messages about rate limits have these words.
var balanceWords = []string{
	"exceeded your current quota", "exceeded your current token quota",
	"check your account balance", "insufficient balance", "insufficient account balance",
	"recharge your account", "account in arrears", "account is in arrears",
	"余额不足", "欠费", "充值",
}

// namesBalance reports whether a message says that the account's money is used up.
func namesBalance(message string) bool {
	message = strings.ToLower(message)
	return slices.ContainsFunc(balanceWords, func(words string) bool { return strings.Contains(message, words) })
}
