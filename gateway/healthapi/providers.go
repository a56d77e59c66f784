package healthapi

import (
	"fmt"
	"strings"
	"time"

	"casgate/providers"
)

// providerHealth returns the health of the providers without asking them, and a warning
// if some are simulated.
func (h *Handlers) providerHealth() (health map[string]string, warning string) {
	var simulated []string
	for _, p := range h.Copies.Accounts() {
		description := p.Describe()
		text := healthText(p.Health())
		if description.Simulated {
			simulated = append(simulated, description.Provider)
			if text == "ok" {
				text = "simulated"
			}
		}
		if health == nil {
			health = make(map[string]string)
		}
		health[description.Provider] = text
	}
	if len(simulated) > 0 {
		warning = fmt.Sprintf("SIMULATED: %s. Copies made there exist in this process only, and their ids are good for nothing.", strings.Join(simulated, ", "))
	}
	return health, warning
}

// healthText returns ok, or what is wrong with a provider, in words that give no
// secrets away.
func healthText(h providers.Health) string {
	switch {
	case h.Breaker == providers.BreakerHalfOpen:
		return "being tried again after failures"
	case h.Breaker == providers.BreakerOpen:
		text := "breaker open"
		if !h.LastCheck.IsZero() {
			text += ", last checked " + h.LastCheck.UTC().Format(time.RFC3339)
		}
		if h.RetryAfter > 0 {
			text += fmt.Sprintf(", tried again in %d s", ceilSeconds(h.RetryAfter))
		}
		return text
	case !h.Available && h.LastError != nil && h.LastError.Kind == providers.KindAuth:
		return "the key is refused"
	case !h.Available:
		return "unavailable"
	case !h.HeldUntil.IsZero():
		return "uploads held back until " + h.HeldUntil.UTC().Format(time.RFC3339) + ", since it limits their rate"
	}
	return "ok"
}

// ceilSeconds rounds up.
func ceilSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
