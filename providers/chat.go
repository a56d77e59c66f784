package providers

import (
	"context"
	"net/http"
)

// Chatter is the ability to answer chats, in the shape of OpenAI's Chat Completions.
type Chatter interface {
	// Chat returns where and how. It makes no call, and its result never changes.
	Chat() ChatAPI
}

// ChatAPI is the chat API of an account. The caller sends the requests itself.
type ChatAPI struct {
	// URL takes POST requests for a chat, and ModelsURL answers GET with the list of
	// models.
	URL       string
	ModelsURL string
	// Inline are the types of parts that may have the bytes of a file in them, as a data:
	// URL or as file_data. They are sent on as they are.
	Inline []string
	// Authorize adds the credential to a request. It replaces that of another.
	Authorize func(*http.Request)
	// Begin waits until the account's limits for chat leave a slot for another call, and
	// takes it. The caller calls end once, after the last byte of the answer. The error is
	// an *Error of KindTransient with CodeLimited: nothing was sent. Nil means that there
	// are no limits.
	Begin func(ctx context.Context) (end func(), err error)
}
