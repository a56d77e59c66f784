package wiring

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"casgate/cmd/cas/internal/duration"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/providers"
	"casgate/providers/anthropic"
	"casgate/providers/gemini"
	"casgate/providers/glm"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/openaicompat"
	"casgate/providers/replicator"
	"casgate/providers/simulator/anthropicsim"
	"casgate/providers/simulator/geminisim"
	"casgate/providers/simulator/glmsim"
	"casgate/providers/simulator/kimisim"
)

// adapter is a provider that can be configured by its environment variables.
type adapter struct {
	name string
	open func(providers.Settings) (providers.Provider, error)
	// simulate returns a simulator, and where on it the API begins; nil: there is none.
	simulate func(key string) (handler http.Handler, prefix string)
}

// adapters are the providers, one line for each.
var adapters = []adapter{
	{"kimi", kimi.Open, func(key string) (http.Handler, string) { return kimisim.New(kimisim.Options{Key: key}), kimisim.Prefix }},
	{"glm", glm.Open, func(key string) (http.Handler, string) { return glmsim.New(glmsim.Options{Key: key}), glmsim.Prefix }},
	{"openai", openaicompat.Open, nil},
	{"qwen", openaicompat.Open, nil},
	{"deepseek", openaicompat.Open, nil},
	{"mistral", openaicompat.Open, nil},
	{"xai", openaicompat.Open, nil},
	{"anthropic", anthropic.Open, func(key string) (http.Handler, string) {
		return anthropicsim.New(anthropicsim.Options{Keys: []string{key}}), anthropicsim.Prefix
	}},
	{"gemini", gemini.Open, func(key string) (http.Handler, string) {
		return geminisim.New(geminisim.Options{Key: key}), geminisim.Prefix
	}},
}

// variable returns the name of a provider's environment variable.
func (a adapter) variable(setting string) string {
	return "CAS_" + strings.ReplaceAll(strings.ToUpper(a.name), "-", "_") + "_" + setting
}

// ProviderSetting is a setting that each provider has, as an environment variable.
type ProviderSetting struct {
	Name    string // the last part of the variable's name
	Default string
	Help    string
	// Takers are the providers that take the setting, those of a description aside; nil: all
	// do.
	Takers []string
}

// Example returns the variable of a provider that takes the setting.
func (s ProviderSetting) Example() string {
	if len(s.Takers) > 0 {
		return ProviderVariable(s.Takers[0], s.Name)
	}
	return ProviderVariable("kimi", s.Name)
}

// ProviderSettings returns the settings of each provider.
func ProviderSettings() []ProviderSetting {
	return []ProviderSetting{
		{Name: "API_KEY", Default: "none", Help: "Key of the account (secret). A provider without a key is listed as not configured."},
		{Name: "API_KEY_FILE", Default: "none", Help: "A file that has the key, in place of the variable."},
		{Name: "BASE_URL", Default: "the provider's Chinese host, if it has one", Help: "Base URL of the API, such as https://api.moonshot.ai/v1. http:// only on this machine."},
		{Name: "CHAT_URL", Default: "/chat/completions below the base URL", Help: "The whole URL of chats, where it is another."},
		{Name: "ACCOUNT", Default: "a fingerprint of the key", Help: "A name for the account, so that its copies stay its own if the key changes."},
		{Name: "LIFETIME", Default: "until deleted", Help: "Each upload asks the provider to delete the file after this time, such as 720h. OpenAI, DeepSeek, xAI (1h to 720h) and Anthropic take it, and providers of a description with expiry. For another provider it is an error, and the gateway does not start.", Takers: []string{"openai", "deepseek", "xai", "anthropic"}},
		{Name: "SETTLING", Default: "20s; DeepSeek: 5m", Help: "Time in which a file that the provider doesn't list may still turn up. A delete, or an upload after a lost reply, waits for it."},
		{Name: "CONCURRENCY", Default: "the provider's", Help: "Calls for files at the same time, for each gateway process."},
		{Name: "PER_MINUTE", Default: "the provider's", Help: "Calls for files per minute, for each gateway process."},
		{Name: "CHAT_CONCURRENCY", Default: "unlimited", Help: "Chats at the same time; further ones wait."},
		{Name: "CHAT_PER_MINUTE", Default: "unlimited", Help: "Chats per minute; further ones wait."},
	}
}

// ProviderNames returns the names of the providers that have an adapter.
func ProviderNames() []string {
	var names []string
	for _, a := range adapters {
		names = append(names, a.name)
	}
	return names
}

// ProviderVariable returns the environment variable of a provider's setting.
func ProviderVariable(provider, setting string) string {
	return adapter{name: provider}.variable(setting)
}

// openProvider is an account that is configured.
type openProvider struct {
	adapter  providers.Provider
	settings adapter
}

// accounts are the accounts of the providers.
type accounts struct {
	open []openProvider
	// advice says, for each provider that is not configured, how to configure it.
	advice     map[string]string
	simulators []net.Listener
}

// stop ends the simulators.
func (a *accounts) stop() {
	for _, ln := range a.simulators {
		ln.Close()
	}
}

// openAccounts opens the accounts that are configured.
func openAccounts(c settings.Providers, log zerolog.Logger) (*accounts, error) {
	list := adapters
	if c.ProvidersFile != "" {
		described, err := readProviders(c.ProvidersFile)
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		list = append(list[:len(list):len(list)], described...)
	}
	all := &accounts{advice: make(map[string]string)}
	for _, a := range list {
		if err := all.add(a, c.Simulate, log); err != nil {
			all.stop()
			return nil, exit.With(exit.Usage, err)
		}
	}
	return all, nil
}

// add opens the account of one provider if it is configured, or simulates it.
func (a *accounts) add(one adapter, withSimulators bool, log zerolog.Logger) error {
	key, err := settings.LookupSecret(one.variable("API_KEY"))
	switch {
	case err != nil:
		return err
	case key != "" && withSimulators:
		return fmt.Errorf("%s is set: with --simulate-providers there must be no key, so that simulated copies are never mistaken for real ones", one.variable("API_KEY"))
	case key == "" && withSimulators && one.simulate != nil:
		p, ln, err := simulate(one)
		if err != nil {
			return err
		}
		a.simulators = append(a.simulators, ln)
		a.open = append(a.open, openProvider{p, one})
		log.Warn().Str("provider", one.name).Msg("SIMULATED: a simulator in this process stands for " + one.name + "; its copies are only for trying casgate out")
	case key == "":
		a.advice[one.name] = "set " + one.variable("API_KEY") + " (or " + one.variable("API_KEY_FILE") + ") and restart the gateway"
	default:
		lifetime, err := one.duration("LIFETIME", "720h")
		if err != nil {
			return err
		}
		settling, err := one.duration("SETTLING", "20s")
		if err != nil {
			return err
		}
		p, err := one.open(providers.Settings{Name: one.name, APIKey: key, BaseURL: os.Getenv(one.variable("BASE_URL")), ChatURL: os.Getenv(one.variable("CHAT_URL")), Account: os.Getenv(one.variable("ACCOUNT")), Lifetime: lifetime, Settling: settling})
		if err != nil {
			return fmt.Errorf("%w (see %s and %s)", err, one.variable("API_KEY"), one.variable("BASE_URL"))
		}
		if _, ok := providers.Ability[providers.Chatter](p); !ok && os.Getenv(one.variable("CHAT_URL")) != "" {
			return fmt.Errorf("%s is set, and casgate has no chat with %s; remove it", one.variable("CHAT_URL"), one.name)
		}
		a.open = append(a.open, openProvider{p, one})
	}
	return nil
}

// duration returns a setting of the account; 0 means the provider's usual value.
func (a adapter) duration(setting, example string) (time.Duration, error) {
	text := os.Getenv(a.variable(setting))
	if text == "" {
		return 0, nil
	}
	d, err := duration.Parse(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s is %q; it must be a time such as %s", a.variable(setting), text, example)
	}
	return d, nil
}

// readProviders reads a list of providers that are described in JSON, without an adapter
// of their own.
func readProviders(path string) ([]adapter, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %w", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %s is not a JSON list of providers: %w", path, err)
	}
	var own []adapter
	for _, item := range list {
		config, err := openaicompat.Parse(item)
		if err != nil {
			return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %s: %w", path, err)
		}
		for _, a := range append(adapters[:len(adapters):len(adapters)], own...) {
			if a.name == config.Name {
				return nil, fmt.Errorf("CAS_PROVIDERS_FILE: %s: there is a provider %s already; choose another name", path, config.Name)
			}
		}
		own = append(own, adapter{name: config.Name, open: config.Open})
	}
	return own, nil
}

// simulate starts a simulator of a provider, and opens a new account there. The account
// has a random key, so that copies of an earlier start don't count as its own.
func simulate(a adapter) (providers.Provider, net.Listener, error) {
	// The form of GLM's keys; the other providers accept any form.
	key := "simulated-" + rand.Text() + "." + rand.Text()
	handler, prefix := a.simulate(key)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("start the simulator of %s: %w", a.name, err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(ln) }() // until the listener is closed
	p, err := a.open(providers.Settings{Name: a.name, APIKey: key, BaseURL: "http://" + ln.Addr().String() + prefix, Simulated: true, Settling: time.Second})
	if err != nil {
		ln.Close()
		return nil, nil, err
	}
	return p, ln, nil
}

// guarded puts the decorators around an account.
func (p openProvider) guarded(registry prometheus.Registerer, from replicator.Options) (*guard.Guard, error) {
	o := guard.Options{Observe: guard.ObserveOptions{Registry: registry, Log: from.Log}, Traced: from.Traces != nil}
	for setting, into := range map[string]*int{
		"CONCURRENCY": &o.Limit.Concurrency, "PER_MINUTE": &o.Limit.PerMinute,
		"CHAT_CONCURRENCY": &o.Chat.Concurrency, "CHAT_PER_MINUTE": &o.Chat.PerMinute,
	} {
		text := os.Getenv(p.settings.variable(setting))
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, exit.Usagef("%s is %q; it must be a number, 1 or more", p.settings.variable(setting), text)
		}
		*into = n
	}
	return guard.New(p.adapter, o), nil
}

// ProviderVariables returns the environment variables of the providers that have an
// adapter, and of those in CAS_PROVIDERS_FILE. A file that can't be read has none: the start
// reports it.
func ProviderVariables(c settings.Providers) []string {
	list := adapters
	if c.ProvidersFile != "" {
		described, _ := readProviders(c.ProvidersFile)
		list = append(list[:len(list):len(list)], described...)
	}
	var names []string
	for _, a := range list {
		for _, setting := range ProviderSettings() {
			names = append(names, a.variable(setting.Name))
		}
	}
	return names
}

// MayBeOfProvider reports whether a variable may be one of a provider whose description can't be
// read. The start reports the description.
func MayBeOfProvider(c settings.Providers, name string) bool {
	if c.ProvidersFile == "" {
		return false
	}
	if _, err := readProviders(c.ProvidersFile); err == nil {
		return false
	}
	return slices.ContainsFunc(ProviderSettings(), func(s ProviderSetting) bool { return strings.HasSuffix(name, "_"+s.Name) })
}

// ReadersOfURLs returns the configured providers that read documents only at a URL, and
// from outside.
func ReadersOfURLs(c settings.Providers) ([]string, error) {
	accounts, err := openAccounts(c, zerolog.Nop())
	if err != nil {
		return nil, err
	}
	defer accounts.stop()
	var names []string
	for _, p := range accounts.open {
		d := p.adapter.Describe()
		if d.Simulated || replicator.IsOwnMachine("https://"+d.Host) {
			continue
		}
		kinds := p.adapter.References("application/pdf", ".pdf")
		if len(kinds) == 0 || kinds[0].Needs != providers.NeedURL {
			continue
		}
		if _, ok := kinds[0].WithoutURL(kinds); !ok {
			names = append(names, d.Provider)
		}
	}
	return names, nil
}
