package api

// Health is the answer of GET /healthz and GET /readyz.
type Health struct {
	Status string            `json:"status" see:"any"`           // ok, unavailable or draining
	Checks map[string]string `json:"checks,omitempty" see:"any"` // part → ok, or what is wrong; disk → ok or low; spool → ok or unusable
	// Providers has the state of each configured provider: ok, simulated, or what is
	// wrong. It doesn't change Status, because a gateway is useful without providers.
	Providers map[string]string `json:"providers,omitempty" see:"any"`
	// Warning says so if providers are simulated.
	Warning string `json:"warning,omitempty" see:"any"`
	// Installation is the same at all gateways of an index, and at no others.
	Installation string `json:"installation,omitempty" see:"any"`
}
