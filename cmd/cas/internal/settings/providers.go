package settings

import "time"

// DescribedProviders are providers without an adapter of their own. A command that names
// providers needs them.
type DescribedProviders struct {
	ProvidersFile string `name:"providers-file" env:"CAS_PROVIDERS_FILE" help:"JSON file with a list of further providers that have an OpenAI-like file API." placeholder:"FILE"`
}

// Providers are the common settings of the providers. The settings of one provider are
// environment variables with its name.
type Providers struct {
	DescribedProviders
	Simulate      bool          `name:"simulate-providers" help:"Simulate Kimi, GLM, Anthropic and Gemini in this process, to try casgate without keys; only on a loopback address."`
	CopyEviction  string        `name:"copy-eviction" env:"CAS_COPY_EVICTION" default:"lru" enum:"lru,off" help:"If an account is full: lru removes the least recently used copies there, off answers 507. Both remove copies that have expired first."`
	CopyWait      time.Duration `name:"copy-wait" env:"CAS_COPY_WAIT" default:"25s" help:"How long a request waits for a copy before its answer is 202. Keep it below the time-out of every proxy in between."`
	ReferenceURLs string        `name:"reference-urls" env:"CAS_REFERENCE_URLS" default:"gateway" enum:"gateway,bucket" help:"Where URLs for providers point to: gateway (CAS_PUBLIC_URL), or bucket (presigned). The provider must be able to reach it."`
}
