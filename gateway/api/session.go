package api

import (
	"time"

	"casgate/cas/access"
)

// Login is the body that starts a session of the console.
type Login struct {
	Token string `json:"token"`
}

// Session describes the session of the console, and its gateway.
type Session struct {
	// Token is the token of the request. Nil: the gateway has no authentication.
	Token     *SessionToken `json:"token,omitempty" see:"any"`
	Version   string        `json:"version" see:"any"`
	PublicURL string        `json:"public_url" see:"any"`
	// Simulated: some providers are simulators.
	Simulated bool `json:"simulated" see:"any"`
}

// SessionToken is the token that a session uses.
type SessionToken struct {
	ID        string         `json:"id" see:"any"`
	Name      string         `json:"name" see:"any"`
	Scopes    []access.Scope `json:"scopes" see:"any"`
	ExpiresAt *time.Time     `json:"expires_at,omitempty" see:"any"` // nil: never
}
