package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// chatServer answers chats with these, one after the other, and the last one for ever.
func chatServer(t *testing.T, answers ...func(http.ResponseWriter)) (*client.Client, *[]string) {
	t.Helper()
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/chat/completions" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s, %v, %v", r.URL, r.Header, err)
		}
		bodies = append(bodies, string(body))
		answers[min(len(bodies), len(answers))-1](w)
	}))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, client.Options{Token: "cas_token"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, &bodies
}

// answerWith returns an answer with headers, given as "name: value".
func answerWith(status int, body string, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// texts sends a chat, and returns the pieces of its answer.
func texts(t *testing.T, c *client.Client) (pieces []string, err error) {
	t.Helper()
	answer, err := c.Chat(t.Context(), []byte(`{"a":1}`))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	for text, err := range answer.Texts() {
		if err != nil {
			return pieces, err
		}
		pieces = append(pieces, text)
	}
	return pieces, nil
}

const stream, ofKimi = "Content-Type: text/event-stream", "X-Casgate-Provider: kimi"

func TestTextsOfChats(t *testing.T) {
	t.Parallel()
	const role, hello, world, usage, done = `data: {"choices":[{"delta":{"role":"assistant","content":""}}]}` + "\n\n", `data:{"choices":[{"delta":{"content":"hello "}}]}` + "\r\n\r\n",
		`data: {"choices":[{"delta":{"content":"world"},"finish_reason":"stop"}]}` + "\n\n", `data: {"choices":[],"usage":{}}` + "\n\n", "data: [DONE]\n\n"
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
		err    error
	}{
		"streamed":      {answerWith(200, role+": a comment\n\n"+hello+world+usage+done, stream, ofKimi), "hello |world", nil},
		"at once":       {answerWith(200, `{"choices":[{"message":{"role":"assistant","content":"hello"}}]}`, ofKimi), "hello", nil},
		"no last event": {answerWith(200, role+hello+world, stream, ofKimi), "hello |world", nil},
		"cut after it":  {answerWith(200, role+hello+world, stream, ofKimi, "Content-Length: 1000"), "hello |world", client.ErrChatBroke},
		"cut short":     {answerWith(200, hello+`data: {"choices":[{"finish_reason":"length"}]}`+"\n\n", stream, ofKimi), "hello ", client.ErrChatBroke},
		"broken off":    {answerWith(200, role+hello, stream, ofKimi), "hello ", client.ErrChatBroke},
		"half an event": {answerWith(200, hello+`data: {"choi`, stream, ofKimi), "hello ", client.ErrChatBroke},
		"error within":  {answerWith(200, hello+`data: {"error":{"message":"too long"}}`+"\n\n", stream, ofKimi), "hello ", client.ErrProvider},
		"error in 200":  {answerWith(200, `{"error":{"code":"1113","message":"no money"}}`, ofKimi), "", client.ErrProvider},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, bodies := chatServer(t, test.answer)
			pieces, err := texts(t, c)
			if got := strings.Join(pieces, "|"); got != test.want || !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("%q, %v; want %q, %v", got, err, test.want, test.err)
			}
			if len(*bodies) != 1 || (*bodies)[0] != `{"a":1}` {
				t.Errorf("sent %q", *bodies)
			}
		})
	}
}

// A provider's own error has its words; a gateway's has its code.
func TestErrorsOfChats(t *testing.T) {
	t.Parallel()
	const busy = `{"error":{"message":"slow down","type":"rate_limit_reached_error"}}`
	for name, test := range map[string]struct {
		answer       func(http.ResponseWriter)
		is           error
		exit         int
		providerCode string
	}{
		"refused":     {answerWith(400, `{"error":{"message":"no","type":"invalid_request_error"}}`, ofKimi), client.ErrProvider, problem.ExitRefused, "invalid_request_error"},
		"of GLM":      {answerWith(400, `{"error":{"message":"no","code":"1210"}}`, "X-Casgate-Provider: glm"), client.ErrProvider, problem.ExitRefused, "1210"},
		"busy":        {answerWith(429, busy, ofKimi), problem.ProviderRateLimited, problem.ExitUnavailable, "rate_limit_reached_error"},
		"failed":      {answerWith(500, `{"error":{"message":"oh"}}`, ofKimi), problem.ProviderFailed, problem.ExitUnavailable, ""},
		"overloaded":  {answerWith(529, `{"error":{"message":"busy"}}`, ofKimi), problem.ProviderFailed, problem.ExitUnavailable, ""},
		"late":        {answerWith(408, `{"error":{"message":"late"}}`, ofKimi), problem.ProviderTimeout, problem.ExitUnavailable, ""},
		"no JSON":     {answerWith(504, "<html>", ofKimi), problem.ProviderFailed, problem.ExitUnavailable, ""},
		"the gateway": {answerWith(404, `{"code":"file_not_found","status":404,"title":"t","detail":"d","error":{"message":"d","param":"messages[0]"}}`, ofKimi, "X-Casgate-Error: true"), cas.ErrFileNotFound, problem.ExitNotFound, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, bodies := chatServer(t, test.answer)
			_, err := texts(t, c)
			e, ok := errors.AsType[*client.Error](err)
			if !ok || !errors.Is(err, test.is) || e.Problem.ExitCode() != test.exit || e.Problem.ProviderCode != test.providerCode {
				t.Errorf("got %v: %+v", err, e)
			}
			if len(*bodies) != 1 {
				t.Errorf("it was sent %d times", len(*bodies))
			}
		})
	}
}

// The wait that a provider asks for comes before that of the code.
func TestProvidersWait(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		wait   string
		want   int // seconds
	}{
		{429, "30", 30}, {503, "30", 30}, {429, "NaN", 1}, {429, "99999999999999", 1}, {429, "", 1}, {400, "30", 0},
		{429, time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat), 90},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answerWith(test.status, `{"error":{"message":"no"}}`, ofKimi, "Retry-After: "+test.wait)(w)
		}))
		t.Cleanup(server.Close)
		c, err := client.New(server.URL, client.Options{Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		_, err = texts(t, c)
		e, ok := errors.AsType[*client.Error](err)
		// A date has no fractions of a second.
		if !ok || e.Problem.RetryAfter > test.want || e.Problem.RetryAfter < test.want-test.want/30 {
			t.Errorf("%d with %q: %v, %+v; want %d s", test.status, test.wait, err, e, test.want)
		}
	}
}

// An answer says why it is not whole.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	for finish, want := range map[string]string{
		`"stop"`: "", `"length"`: "most tokens", `null`: "did not say", `""`: "did not say", `"content_filter"`: "filter", `"sensitive"`: "filter",
		`"network_error"`: "failed", `"model_context_window_exceeded"`: "of the model", `"tool_calls"`: "a tool", `"new"`: `"new"`,
	} {
		c, _ := chatServer(t, answerWith(200, `{"choices":[{"message":{"content":"x"},"finish_reason":`+finish+`}]}`, ofKimi))
		answer, err := c.Chat(t.Context(), []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Close()
		if _, err := answer.JSON(); err != nil || !strings.Contains(answer.CutReason(), want) || (want == "") != (answer.CutReason() == "") {
			t.Errorf("%s: %q, %v", finish, answer.CutReason(), err)
		}
	}
}

// An answer that broke off is an error of one line.
func TestBrokenChatIsOneLine(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"stream": stream, "at once": "Content-Type: application/json"} {
		c, _ := chatServer(t, answerWith(200, `{"choices":`, header, ofKimi, "Content-Length: 100"))
		if _, err := texts(t, c); !errors.Is(err, client.ErrChatBroke) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, _ := chatServer(t, answerWith(200, "data: "+strings.Repeat("x", 5<<20), stream, ofKimi))
	if _, err := texts(t, c); !errors.Is(err, client.ErrChatBroke) || !strings.Contains(err.Error(), "more than 4194304 bytes") {
		t.Errorf("a long event: %v", err)
	}
}

// What the gateway has not forwarded is sent again.
func TestChatsAreTriedAgain(t *testing.T) {
	t.Parallel()
	const own = "X-Casgate-Error: true"
	c, bodies := chatServer(t,
		answerWith(503, `{"code":"overloaded","status":503,"retryable":true}`, own),
		answerWith(409, `{"code":"copy_in_progress","status":409,"retryable":true}`, own),
		answerWith(200, `{"choices":[{"message":{"content":"hello"}}]}`, ofKimi))
	if pieces, err := texts(t, c); err != nil || strings.Join(pieces, "") != "hello" || len(*bodies) != 3 {
		t.Errorf("%q, %v after %d attempts", pieces, err, len(*bodies))
	}
}
