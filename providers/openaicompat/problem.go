package openaicompat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// Problem is what an answer's body says about a failure. Providers word it in
// several ways; where a field isn't given it is empty.
type Problem struct {
	Type    string
	Code    string // numbers in decimal
	Message string
	// Stated: the body says that the call failed, whatever the status says.
	Stated bool
	// JSON: the body is a JSON object, so it comes from the provider and not from
	// something between.
	JSON bool
}

// Said reports whether the provider itself says anything about the failure.
func (p Problem) Said() bool { return p.Type != "" || p.Code != "" || p.Message != "" }

// ParseProblem reads the body of an answer. These are known:
//
//	{"error":{"message":…,"type":…,"code":…}}   OpenAI, and most others
//	{"error":"…"}
//	{"msg":…,"code":500}                        GLM, with status 200
//	{"code":"…","message":"…"}                  DashScope, Mistral
//	{"detail":…}                                Mistral, for what doesn't validate
func ParseProblem(body []byte) Problem {
	var envelope struct {
		Error   json.RawMessage `json:"error"`
		Success json.RawMessage `json:"success"`
		said
	}
	if !isObject(body) || json.Unmarshal(body, &envelope) != nil {
		return Problem{}
	}
	p := envelope.problem()
	p.Stated = p.Code != "" && p.Message != "" && !slices.Contains([]string{"0", "200", "success", "ok"}, p.Code) ||
		string(envelope.Success) == "false"
	if isObject(envelope.Error) {
		var inner said
		if json.Unmarshal(envelope.Error, &inner) == nil {
			if within := inner.problem(); within.Said() {
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

// said is an error's fields, in JSON of whatever type.
type said struct {
	Type    json.RawMessage `json:"type"`
	Code    json.RawMessage `json:"code"`
	Message json.RawMessage `json:"message"`
	Msg     json.RawMessage `json:"msg"`
	Detail  json.RawMessage `json:"detail"`
}

func (s said) problem() Problem {
	p := Problem{Type: loose(s.Type), Code: loose(s.Code), Message: loose(s.Message)}
	for _, other := range []json.RawMessage{s.Msg, s.Detail} {
		if p.Message == "" {
			p.Message = loose(other)
		}
	}
	return p
}

// loose returns a JSON value as text: a string's own, nothing for null and empty
// ones, and anything else as it is written.
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

// statusWithin returns the HTTP status that an answer's code stands for, where a
// provider puts it there, else the answer's own.
func (p Problem) statusWithin(status int) int {
	if code, err := strconv.Atoi(p.Code); err == nil && status < 300 && code >= 400 && code < 600 {
		return code
	}
	return status
}
