package openaicompat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
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
	p.Stated = p.Code != "" && p.Message != "" && !slices.Contains([]string{"0", "200", "success", "ok"}, p.Code) ||
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

// statusWithin returns the HTTP status in the body's code if the answer's status is
// 2xx or 1xx and the code is a 4xx or 5xx; otherwise it returns the answer's status.
func (p ErrorBody) statusWithin(status int) int {
	if code, err := strconv.Atoi(p.Code); err == nil && status < 300 && code >= 400 && code < 600 {
		return code
	}
	return status
}
