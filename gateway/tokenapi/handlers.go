// Package tokenapi answers the requests about API tokens. The index keeps the tokens, and
// `cas token` works on it directly.
package tokenapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// Index stores the tokens.
type Index interface {
	CreateToken(ctx context.Context, t access.Token) (access.Token, error)
	// Token returns the token of this id, or access.ErrTokenNotFound.
	Token(ctx context.Context, id string) (access.Token, error)
	// TokenPage returns a page of all tokens, newest first.
	TokenPage(ctx context.Context, q access.TokenQuery) ([]access.Token, error)
	// RevokeToken revokes a token, or returns access.ErrTokenNotFound. A token that is
	// revoked already keeps its time.
	RevokeToken(ctx context.Context, id string) error
}

// Authorizer knows the tokens of requests.
type Authorizer interface {
	// RequestToken returns the token of a request. It is false if the gateway has no
	// authentication.
	RequestToken(c echo.Context) (access.Token, bool, error)
	// Require checks a scope of the token of a request.
	Require(c echo.Context, scope access.Scope) error
	// Forget makes this gateway look a token up again at its next use.
	Forget(tokenID string)
}

// Recorder writes operations to the journal.
type Recorder interface {
	// RequestNow stores the record of a request that began then, and has succeeded except for
	// its answer. It goes on if the client goes, and ends within a limit of its own. After
	// an error the record is queued with the answer.
	RequestNow(c echo.Context, began time.Time) error
}

// revokeLimit bounds the revoking of a token. It goes on if the client goes: otherwise
// a token could be revoked, and its record would not say so.
const revokeLimit = 10 * time.Second

// Handlers answers requests about tokens. Their records are stored before the answer, since
// the journal's writer may lose its last ones if the process is killed. If that fails, a
// new token is revoked again, and a revoked one stays revoked.
type Handlers struct {
	Index      Index
	Authorizer Authorizer
	Recorder   Recorder
	URLs       view.URLs
	Log        zerolog.Logger
}

var errNoCaller = problem.New(problem.Forbidden, "This gateway has no authentication: a request has no token, and none can be made or revoked here. `cas token` works on the index itself.")

// caller returns the token of a request.
func (h *Handlers) caller(c echo.Context) (access.Token, error) {
	token, ok, err := h.Authorizer.RequestToken(c)
	if err == nil && !ok {
		err = errNoCaller
	}
	return token, err
}

// Create answers POST /v1/tokens. A token gives no right that its maker doesn't have, and
// doesn't outlive it.
func (h *Handlers) Create(c echo.Context) error {
	began := time.Now()
	maker, err := h.caller(c)
	if err != nil {
		return err
	}
	var asked api.NewToken
	if err := request.JSON(c, &asked); err != nil {
		return err
	}
	scopes, err := h.grantable(c, asked.Scopes)
	if err != nil {
		return problem.WithParam("scopes", err)
	}
	expires, err := expiry(asked.ExpiresIn, maker)
	if err != nil {
		return problem.WithParam("expires_in", err)
	}
	token, text := access.NewToken(asked.Name, scopes, expires)
	if err := token.Check(); err != nil {
		return problem.WithParam("name", problem.BadRequest(err.Error()))
	}
	request.NameSubject(c, token.ID)
	if token, err = h.Index.CreateToken(c.Request().Context(), token); err != nil {
		return err
	}
	if err := h.Recorder.RequestNow(c, began); err != nil { // no client has the secret yet
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), revokeLimit)
		defer cancel()
		return errors.Join(err, h.Index.RevokeToken(ctx, token.ID))
	}
	c.Response().Header().Set(echo.HeaderLocation, h.URLs.Token(token.ID))
	return respond.JSON(c, http.StatusCreated, api.CreatedToken{Token: view.Token(token), Text: text})
}

// grantable returns the scopes of a new token, each once, if its maker has them all.
func (h *Handlers) grantable(c echo.Context, asked []access.Scope) ([]access.Scope, error) {
	scopes, err := access.CheckScopes(asked)
	if err != nil {
		return nil, problem.BadRequest("scopes: " + err.Error())
	}
	for _, scope := range scopes {
		if err := h.Authorizer.Require(c, scope); err != nil {
			return nil, err
		}
	}
	return scopes, nil
}

// expiry returns when a new token expires: not after its maker. The zero time means never.
func expiry(seconds *int64, maker access.Token) (time.Time, error) {
	if seconds == nil {
		return maker.ExpiresAt, nil
	}
	if *seconds < 1 || *seconds > api.MaxTokenLife {
		return time.Time{}, problem.BadRequest(fmt.Sprintf("expires_in: %d is not between 1 and %d seconds", *seconds, int64(api.MaxTokenLife)))
	}
	expires := time.Now().Add(time.Duration(*seconds) * time.Second)
	if !maker.ExpiresAt.IsZero() && expires.After(maker.ExpiresAt) {
		return time.Time{}, problem.New(problem.Forbidden, fmt.Sprintf("This token expires at %s, and can't make one that lives longer.", maker.ExpiresAt.UTC().Format(time.RFC3339)))
	}
	return expires, nil
}

// Self answers GET /v1/tokens/self with the token of the request.
func (h *Handlers) Self(c echo.Context) error {
	token, err := h.caller(c)
	if err != nil {
		return err
	}
	return respond.OwnJSON(c, http.StatusOK, view.Token(token))
}

// Revoke answers DELETE /v1/tokens/{token_id}. Every token may revoke itself; for others
// it needs the scope admin.
func (h *Handlers) Revoke(c echo.Context) error {
	began := time.Now()
	caller, err := h.caller(c)
	if err != nil {
		return err
	}
	id, err := request.PathParam(c, "token")
	if err != nil {
		return err
	}
	if id != caller.ID {
		if err := h.Authorizer.Require(c, access.ScopeAdmin); err != nil {
			return err
		}
	}
	token, err := h.revoke(c.Request().Context(), id)
	if errors.Is(err, access.ErrTokenNotFound) {
		return problem.New(problem.NotFound, "There is no token with this id; GET /v1/tokens lists them.")
	}
	if err != nil {
		return err
	}
	request.NameSubject(c, token.ID)
	if err := h.Recorder.RequestNow(c, began); err != nil { // the token is revoked nevertheless
		h.Log.Warn().Err(err).Str("token_id", token.ID).Msg("the record of a revoked token was not stored at once, and is queued")
	}
	return respond.OwnJSON(c, http.StatusOK, view.Token(token))
}

// revoke revokes a token and returns it.
func (h *Handlers) revoke(ctx context.Context, id string) (access.Token, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeLimit)
	defer cancel()
	if err := h.Index.RevokeToken(ctx, id); err != nil {
		return access.Token{}, err
	}
	h.Authorizer.Forget(id)
	return h.Index.Token(ctx, id)
}
