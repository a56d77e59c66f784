package chatapi

import (
	"cmp"
	"fmt"
	"net/http"
	"time"
)

// Options configures Handlers. Zero values mean the defaults given.
type Options struct {
	// Off removes all routes of chats.
	Off bool
	// Aliases are further names of models: each stands for provider/model.
	Aliases map[string]string
	// PassInline: bytes within a request stay there, if the provider takes them so. They
	// are stored otherwise.
	PassInline bool
	// Keep is how long such bytes stay after their last use. Default 720 h, at least 1 h.
	Keep time.Duration
	// AnswerTimeout is how long a provider may take for the first byte of its answer
	// (default 10 min), and IdleTimeout how long for each further one (default 5 min).
	AnswerTimeout time.Duration
	IdleTimeout   time.Duration
	// MaxBody bounds one request (default 64 MiB), and Memory all that are under way
	// (default 512 MiB), in bytes.
	MaxBody int64
	Memory  int64
	// Transport sends the requests; nil means one of its own. For tests.
	Transport http.RoundTripper
}

func (o Options) withDefaults() (Options, error) {
	o.Keep = cmp.Or(o.Keep, 720*time.Hour)
	o.AnswerTimeout = cmp.Or(o.AnswerTimeout, 10*time.Minute)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 5*time.Minute)
	o.MaxBody = cmp.Or(o.MaxBody, 64<<20)
	o.Memory = cmp.Or(o.Memory, max(512<<20, o.MaxBody))
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	switch {
	case o.Keep < time.Hour:
		return o, fmt.Errorf("chat: bytes are to be kept for %v; it must be at least 1h", o.Keep)
	case o.MaxBody < 1 || o.Memory < o.MaxBody:
		return o, fmt.Errorf("chat: %d bytes for all requests are less than %d for one", o.Memory, o.MaxBody)
	}
	return o, nil
}
