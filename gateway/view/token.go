package view

import (
	"casgate/cas/access"
	"casgate/gateway/api"
)

// Token shapes a token.
func Token(t access.Token) api.Token {
	return api.Token{
		ID: t.ID, Name: t.Name, Scopes: t.Scopes, CreatedAt: t.CreatedAt.UTC(),
		ExpiresAt: OptionalTime(t.ExpiresAt), LastUsedAt: OptionalTime(t.LastUsedAt), RevokedAt: OptionalTime(t.RevokedAt),
	}
}
