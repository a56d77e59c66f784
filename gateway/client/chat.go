package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"strings"
	"time"

	"casgate/gateway/problem"
)

const chatPath = "/v1/chat/completions"

// Headers of the answers to chats.
const (
	headerChatError    = "X-Casgate-Error"    // true: the error is the gateway's own
	headerChatProvider = "X-Casgate-Provider" // the provider that answered
)

// ChatAnswer is the answer to a chat. The caller closes it.
type ChatAnswer struct {
	// Provider is the provider that answered.
	Provider string
	// Body is a JSON object, or a stream of events if the request asked for one.
	Body io.ReadCloser
	// Usage and Model are what the answer says of its tokens and of its model, once it has
	// been read. Empty: it says nothing.
	Usage json.RawMessage
	Model string
	// Finish is the reason why the model ended, in the provider's word, once the answer has
	// been read. Empty: the provider gave none. Any but "stop" is a reason for CutReason.
	Finish string

	streamed bool
}

// finishStop is the reason of an answer that is whole.
const finishStop = "stop"

// cutReasons explains the reasons of providers: those of OpenAI's API, and the last three of
// Z.ai's (docs.z.ai, Chat Completion).
var cutReasons = map[string]string{
	"":                              "the provider did not say that the answer is whole",
	"length":                        "it reached the most tokens",
	"content_filter":                "the provider's content filter stopped it",
	"tool_calls":                    "the model asked for a tool",
	"function_call":                 "the model asked for a tool",
	"sensitive":                     "the provider's content filter stopped it",
	"network_error":                 "the provider's model failed",
	"model_context_window_exceeded": "the question and the answer together reached the most tokens of the model",
}

// CutReason explains why an answer that has been read is not whole; "" if it is whole.
func (a *ChatAnswer) CutReason() string {
	if a.Finish == finishStop {
		return ""
	}
	if reason, ok := cutReasons[a.Finish]; ok {
		return reason
	}
	return fmt.Sprintf("the provider ended it with the reason %.40q", a.Finish)
}

// Close closes the answer. If that is before its end, the gateway ends the provider's
// call.
func (a *ChatAnswer) Close() error { return a.Body.Close() }

// Chat sends the body of a chat, in the shape of OpenAI's Chat Completions. The body names
// files by their ids at the gateway, digests or hash URLs. A chat is repeated only if the
// gateway has not forwarded it. An error that the provider answered matches ErrProvider.
func (c *Client) Chat(ctx context.Context, body []byte) (*ChatAnswer, error) {
	r := &request{
		method: http.MethodPost, path: chatPath, header: http.Header{"Content-Type": {"application/json"}},
		length:   int64(len(body)),
		open:     func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
		mayRetry: func(err error) bool { return unapplied(err) || errors.Is(err, problem.CopyInProgress) },
		patient:  true,
		provider: isProvidersAnswer,
	}
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	answer := &ChatAnswer{Provider: res.Header.Get(headerChatProvider), Body: res.Body}
	switch mediaType, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); mediaType {
	case "text/event-stream":
		answer.streamed = true
	case "application/json":
	default:
		defer closeDrained(res.Body)
		return nil, fmt.Errorf("%s answered with %s, which is no chat", c.base, contentTypeText(res.Header))
	}
	return answer, nil
}

// isProvidersAnswer reports whether an error is a provider's, which the gateway passed on.
func isProvidersAnswer(h http.Header) bool {
	return h.Get(headerChatProvider) != "" && h.Get(headerChatError) != "true"
}

// maxEvent bounds an event of a stream, and maxChatAnswer an answer that comes at once,
// in bytes.
const (
	maxEvent      = 4 << 20
	maxChatAnswer = 64 << 20
)

// ErrChatBroke: a stream ended before its last event, and before the model said that it was done.
var ErrChatBroke = errors.New("the answer broke off")

// Texts yields the pieces of the answer's text, as they come. An error is the last value:
// ErrChatBroke, or one that matches ErrProvider.
func (a *ChatAnswer) Texts() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if !a.streamed {
			text, err := a.whole()
			yield(text, err)
			return
		}
		lines := bufio.NewScanner(a.Body)
		lines.Buffer(nil, maxEvent)
		for lines.Scan() {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
			if !ok { // a comment, or an empty line
				continue
			}
			data = bytes.TrimSpace(data)
			if string(data) == "[DONE]" {
				return
			}
			text, err := a.read(data)
			if err != nil {
				yield("", err)
				return
			}
			if text != "" && !yield(text, nil) {
				return
			}
		}
		// Some servers leave the last event out. A model that has come to its own end is heard out.
		if err := lines.Err(); err != nil || a.Finish != finishStop {
			yield("", chatBroke(err))
		}
	}
}

// chatBroke returns ErrChatBroke with its cause, if there is one.
func chatBroke(cause error) error {
	switch {
	case cause == nil:
		return ErrChatBroke
	case errors.Is(cause, bufio.ErrTooLong):
		return fmt.Errorf("%w: an event has more than %d bytes", ErrChatBroke, maxEvent)
	}
	return fmt.Errorf("%w: %w", ErrChatBroke, cause)
}

// JSON returns the whole answer of a chat that asked for no stream.
func (a *ChatAnswer) JSON() (json.RawMessage, error) {
	body, err := io.ReadAll(io.LimitReader(a.Body, maxChatAnswer))
	if err != nil {
		return nil, chatBroke(err)
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("%w: it is no complete JSON", ErrChatBroke)
	}
	_, err = a.read(body)
	return body, err
}

func (a *ChatAnswer) whole() (string, error) {
	body, err := a.JSON()
	if err != nil {
		return "", err
	}
	return a.read(body)
}

// read returns the text in an event, or in a whole answer.
func (a *ChatAnswer) read(object []byte) (string, error) {
	type message struct {
		Content *string `json:"content"`
	}
	var answer struct {
		Model   string          `json:"model"`
		Usage   json.RawMessage `json:"usage"`
		Choices []struct {
			Delta   message         `json:"delta"`
			Message message         `json:"message"`
			Usage   json.RawMessage `json:"usage"` // at Kimi, in the last event
			Finish  string          `json:"finish_reason"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(object, &answer); err != nil {
		return "", fmt.Errorf("%w: an event is no chat's: %w", ErrChatBroke, err)
	}
	if len(answer.Choices) == 0 { // of GLM with status 200, and of all within a stream
		if p, ok := providersProblem(object); ok {
			p.complete(a.Provider, http.StatusBadGateway)
			return "", &Error{Problem: p.Details}
		}
	}
	a.Model = cmp.Or(answer.Model, a.Model)
	a.noteUsage(answer.Usage)
	var text strings.Builder
	for _, choice := range answer.Choices {
		a.noteUsage(choice.Usage)
		if a.Finish == "" || a.Finish == finishStop { // one choice that is cut counts
			a.Finish = cmp.Or(choice.Finish, a.Finish)
		}
		for _, m := range []message{choice.Delta, choice.Message} {
			if m.Content != nil {
				text.WriteString(*m.Content)
			}
		}
	}
	return text.String(), nil
}

// noteUsage keeps what an event says of the tokens.
func (a *ChatAnswer) noteUsage(usage json.RawMessage) {
	if len(usage) > 0 && string(usage) != "null" {
		a.Usage = bytes.Clone(usage)
	}
}

// passedProblem is an error that a provider answered.
type passedProblem struct{ problem.Details }

// providersProblem reads an error in the shape of OpenAI's API, or of GLM's.
func providersProblem(body []byte) (passedProblem, bool) {
	var answer struct {
		Error *struct {
			Message string `json:"message"`
			Type    string `json:"type"`
			Code    any    `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error == nil {
		return passedProblem{}, false
	}
	code := answer.Error.Type
	if answer.Error.Code != nil {
		code = fmt.Sprint(answer.Error.Code)
	}
	return passedProblem{problem.Details{ProviderCode: code, ProviderMessage: answer.Error.Message}}, true
}

// complete adds what the status of the answer tells.
func (p *passedProblem) complete(provider string, status int) {
	code := problem.ProviderRejected
	switch {
	case status == http.StatusTooManyRequests:
		code = problem.ProviderRateLimited
	case status == http.StatusRequestTimeout:
		code = problem.ProviderTimeout
	case status >= 500:
		code = problem.ProviderFailed
	}
	detail := fmt.Sprintf("%s answered %s", cmp.Or(provider, "the provider"), statusText(status))
	if p.ProviderMessage != "" {
		detail += ": " + p.ProviderMessage
	}
	passed := p.Details
	p.Details = code.Details(detail, "")
	p.Provider, p.ProviderCode, p.ProviderMessage = provider, passed.ProviderCode, passed.ProviderMessage
	p.Retryable = code != problem.ProviderRejected // the provider's own failure may pass
}

// providersError returns the Error of a provider's own answer.
func providersError(res *http.Response) *Error {
	// Without its body the status has to do.
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	p, _ := providersProblem(body)
	p.complete(res.Header.Get(headerChatProvider), res.StatusCode)
	p.Status, p.OperationID = res.StatusCode, res.Header.Get("X-Request-Id")
	wait := parseRetryAfter(res.Header.Get("Retry-After"))
	if p.Retryable && wait > 0 { // the provider knows better than the code
		p.RetryAfter = int((wait + time.Second - 1) / time.Second)
	}
	return &Error{Problem: p.Details, retryAfter: wait}
}
