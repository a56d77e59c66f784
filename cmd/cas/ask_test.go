package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
)

// TestAskExitCodes: the exit code tells a provider that fails now from one that refuses.
func TestAskExitCodes(t *testing.T) {
	for name, test := range map[string]struct {
		status    int
		mediaType string
		answer    string
		code      int
	}{
		"an answer":                       {200, "text/event-stream", "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\ndata: [DONE]\n\n", exit.OK},
		"a stream that broke off":         {200, "text/event-stream", "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n", exit.Unavailable},
		"a stream without its last event": {200, "text/event-stream", "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"},\"finish_reason\":\"stop\"}]}\n\n", exit.OK},
		"half an answer":                  {200, "application/json", `{"choices":`, exit.Unavailable},
		"no text":                         {200, "application/json", `{"choices":[]}`, exit.Failure},
		"a failure":                       {500, "application/json", `{"error":{"message":"oh"}}`, exit.Unavailable},
		"an overload":                     {529, "application/json", `{"error":{"message":"busy"}}`, exit.Unavailable},
		"a timeout":                       {408, "application/json", `{"error":{"message":"late"}}`, exit.Unavailable},
		"no such model":                   {404, "application/json", `{"error":{"message":"none"}}`, exit.NotFound},
		"a rate limit":                    {429, "application/json", `{"error":{"message":"slow down"}}`, exit.Unavailable},
		"a refusal":                       {400, "application/json", `{"error":{"message":"no"}}`, exit.Refused},
		"a wrong key":                     {401, "application/json", `{"error":{"message":"no"}}`, exit.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", test.mediaType)
				w.Header().Set("X-Casgate-Provider", "kimi")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.answer)
			}))
			defer gateway.Close()
			t.Setenv("CAS_URL", gateway.URL)
			t.Setenv("CAS_TOKEN", "cas_token")
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			if code := run(t.Context(), []string{"ask", "--model", "kimi/x", "a question"}, terminal.Streams{In: null, Out: null, Err: null}); code != test.code {
				t.Errorf("exits with %d, want %d", code, test.code)
			}
		})
	}
}
