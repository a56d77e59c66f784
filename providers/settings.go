package providers

import (
	"net/http"
	"time"
)

// Settings configure an account. Each adapter's Open takes them.
type Settings struct {
	// Name is the provider's name for callers; empty means the adapter's usual one. It is
	// part of the environment variables CAS_<NAME>_API_KEY and CAS_<NAME>_BASE_URL, which
	// hints name.
	Name string
	// APIKey is the account's credential. Only requests to BaseURL's host contain it. It
	// is required.
	APIKey string
	// BaseURL is the URL of the API; empty means the provider's usual one. It must be
	// https, except for a loopback address.
	BaseURL string
	// ChatURL is the URL of chats; empty means /chat/completions below BaseURL. Its host
	// gets the credential, too.
	ChatURL string
	// Lifetime asks the provider to delete each file after this time, in whole seconds.
	// 0 means the provider's usual lifetime. Where an upload can't ask for it, any other
	// value is an error.
	Lifetime time.Duration
	// Settling replaces the settling time of all purposes; 0 means the adapter's own.
	Settling time.Duration
	// Account is the owner's name for the account, so that its copies stay its own if the
	// key changes. Empty means the fingerprint of the key.
	Account string
	// Simulated: BaseURL is a simulator in this process. The account's fingerprint then
	// begins with "simulated-", so that its copies are never taken for real ones.
	Simulated bool
	// Transport sends the requests; nil means the adapter's own.
	Transport http.RoundTripper
}
