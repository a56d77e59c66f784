package providers

import "net/http"

// Settings is what an adapter is opened with. Each adapter's Open takes it.
type Settings struct {
	// Name is what callers know the provider by; empty means the adapter's usual one.
	// Hints name the environment variables CAS_<NAME>_API_KEY and CAS_<NAME>_BASE_URL
	// after it.
	Name string
	// APIKey is the account's credential. It goes into requests to BaseURL's host and
	// nowhere else; an adapter without one can't be opened.
	APIKey string
	// BaseURL is where the API lies; empty means the provider's usual host. It is
	// https, unless the host is the machine's own.
	BaseURL string
	// Simulated: at BaseURL there is a simulator in this process. The account's
	// fingerprint then begins with "simulated-", so that its copies are never taken
	// for real ones.
	Simulated bool
	// Transport carries the requests; nil means one made for the purpose.
	Transport http.RoundTripper
}
