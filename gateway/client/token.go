package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"casgate/cas/access"
	"casgate/gateway/api"
)

// NewTokenOptions describe a token to make.
type NewTokenOptions struct {
	Name   string // for people, such as the token's user
	Scopes []access.Scope
	// Life is how long the token is valid, in whole seconds. 0: as long as the client's own.
	Life time.Duration
}

// CreateToken makes a token. Only its answer has the secret. It needs the scope admin. It is
// not repeated if the answer is lost, since the token may then exist.
func (c *Client) CreateToken(ctx context.Context, o NewTokenOptions) (api.CreatedToken, error) {
	body := api.NewToken{Name: o.Name, Scopes: o.Scopes}
	if o.Life != 0 {
		body.ExpiresIn = new(int64(o.Life / time.Second))
	}
	r := &request{method: http.MethodPost, path: tokensPath, mayRetry: unapplied}
	if err := r.jsonBody(body); err != nil {
		return api.CreatedToken{}, err
	}
	var created api.CreatedToken
	err := c.doJSON(ctx, r, &created)
	return created, err
}

const tokensPath = "/v1/tokens"

// TokenListOptions select a page of the tokens.
type TokenListOptions struct {
	Limit int    // 0 leaves it to the gateway
	After string // the Next of the page before
}

// Tokens returns a page of all tokens, newest first. It needs the scope admin.
func (c *Client) Tokens(ctx context.Context, o TokenListOptions) (api.TokenPage, error) {
	q := url.Values{}
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	setText(q, "after", o.After)
	var page api.TokenPage
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: tokensPath, query: q, mayRetry: always}, &page)
	return page, err
}

// OwnToken returns the token that the client uses. A gateway without authentication refuses
// with problem.Forbidden.
func (c *Client) OwnToken(ctx context.Context) (api.Token, error) {
	var token api.Token
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: tokensPath + "/self", mayRetry: always}, &token)
	return token, err
}

// RevokeToken revokes a token. A token that is revoked already keeps its time. Every token
// may revoke itself; for others the client needs the scope admin.
func (c *Client) RevokeToken(ctx context.Context, id string) (api.Token, error) {
	var token api.Token
	err := c.doJSON(ctx, &request{method: http.MethodDelete, path: tokensPath + "/" + url.PathEscape(id), mayRetry: always}, &token)
	return token, err
}
