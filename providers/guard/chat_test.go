package guard_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/guard"
)

// chatting is a fake with chat.
type chatting struct{ *fake }

func (chatting) Chat() providers.ChatAPI {
	return providers.ChatAPI{URL: "https://fake.test/chat", ModelsURL: "https://fake.test/models", Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer k") }}
}

func chatOf(t *testing.T, p providers.Provider) providers.ChatAPI {
	t.Helper()
	chatter, ok := providers.Ability[providers.Chatter](p)
	if !ok {
		t.Fatal("the guard hides the adapter's chat")
	}
	return chatter.Chat()
}

func TestChatIsPassedOn(t *testing.T) {
	t.Parallel()
	chat := chatOf(t, guard.New(chatting{always(nil)}, guard.Options{}))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, chat.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	chat.Authorize(r)
	if chat.URL != "https://fake.test/chat" || chat.ModelsURL != "https://fake.test/models" || r.Header.Get("Authorization") != "Bearer k" {
		t.Errorf("%+v, %v", chat, r.Header)
	}
	if _, ok := providers.Ability[providers.Chatter](guard.New(always(nil), guard.Options{})); ok {
		t.Error("an adapter without chat has it under the guard")
	}
}

// TestChatHasItsOwnLimits: without a setting chat is unlimited, whatever the limits of
// file calls are; with one, calls wait for each other.
func TestChatHasItsOwnLimits(t *testing.T) {
	t.Parallel()
	adapter := chatting{always(nil)}
	adapter.about.Limits = providers.Limits{Concurrency: 1, PerMinute: 1}
	free := chatOf(t, guard.New(adapter, guard.Options{Limit: guard.LimitOptions{Concurrency: 1}}))
	for range 100 {
		if _, err := free.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	g := guard.New(adapter, guard.Options{Chat: guard.ChatOptions{Concurrency: 1}})
	chat := chatOf(t, g)
	end, err := chat.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Delete(t.Context(), "f1"); err != nil {
		t.Errorf("a chat takes the slot of a file call: %v", err)
	}
	waiting := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := chat.Begin(ctx)
		waiting <- err
	}()
	cancel()
	err = <-waiting
	if e, ok := errors.AsType[*providers.Error](err); !ok || e.Kind != providers.KindTransient || e.Code != guard.CodeLimited || e.Op != providers.OpChat {
		t.Errorf("got %v; want an error of the limit", err)
	}
	end()
	if _, err := chat.Begin(t.Context()); err != nil {
		t.Errorf("after the end of the first call: %v", err)
	}
	perMinute := chatOf(t, guard.New(adapter, guard.Options{Chat: guard.ChatOptions{PerMinute: 1}}))
	if _, err := perMinute.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The wait would be longer than the deadline, so the refusal comes at once.
	short, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	if _, err := perMinute.Begin(short); err == nil {
		t.Error("a second call began in the same minute")
	}
}

// TestOpenBreakerLetsChatPass: the breaker is about files.
func TestOpenBreakerLetsChatPass(t *testing.T) {
	t.Parallel()
	failed := &providers.Error{Provider: "fake", Op: providers.OpList, Kind: providers.KindUnknown, Status: 500}
	g := guard.New(chatting{always(failed)}, guard.Options{Break: guard.BreakOptions{Faults: 1}})
	if err := call(t.Context(), g, providers.OpList); err == nil {
		t.Fatal("no fault")
	}
	if state := g.Health().Breaker; state != providers.BreakerOpen {
		t.Fatalf("the breaker is %s", state)
	}
	if _, err := chatOf(t, g).Begin(t.Context()); err != nil {
		t.Errorf("a chat was refused: %v", err)
	}
}
