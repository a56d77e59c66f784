package api

import (
	"time"

	"casgate/cas/access"
)

// Token is a token without its secret.
type Token struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Scopes     []access.Scope `json:"scopes"`
	CreatedAt  time.Time      `json:"created_at"`
	ExpiresAt  *time.Time     `json:"expires_at"`   // null: never
	LastUsedAt *time.Time     `json:"last_used_at"` // null: never; up to a minute late
	RevokedAt  *time.Time     `json:"revoked_at"`   // null: not revoked
}

// NewToken is the request of POST /v1/tokens.
type NewToken struct {
	Name   string         `json:"name"`
	Scopes []access.Scope `json:"scopes"`
	// ExpiresIn is the token's life in seconds, at most MaxTokenLife; nil: it ends with the
	// token that makes it.
	ExpiresIn *int64 `json:"expires_in,omitempty"`
}

// MaxTokenLife is the longest life of a token that expires, in seconds: 100 years.
const MaxTokenLife = 100 * 365 * 24 * 3600

// CreatedToken is the answer of POST /v1/tokens. It is the only one with the secret.
type CreatedToken struct {
	Token
	// Text is the token as clients send it, cas_<id>_<secret>.
	Text string `json:"token"`
}

// TokenPage is one page of the tokens.
type TokenPage struct {
	Tokens []Token `json:"tokens"` // newest first
	// Next is the after= of the next page; empty at the end.
	Next string `json:"next,omitempty"`
}
