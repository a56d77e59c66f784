// Package sessionapi answers the requests about the session of the console: log in, look,
// log out.
package sessionapi

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers"
)

// Sessions starts and ends sessions.
type Sessions interface {
	// StartSession starts a session of the token with this text, and sets its cookie.
	StartSession(c echo.Context, text string) error
	// EndSession deletes the cookie.
	EndSession(c echo.Context)
	// RequestToken returns the token of a request; false without authentication.
	RequestToken(c echo.Context) (access.Token, bool, error)
}

// Copies knows the accounts at providers.
type Copies interface {
	Accounts() []providers.Guarded
}

// Handlers answers requests about sessions.
type Handlers struct {
	Sessions Sessions
	Copies   Copies
	// Version is the version of the program.
	Version string
	URLs    view.URLs
}

// Start answers POST /console/session.
func (h *Handlers) Start(c echo.Context) error {
	var login api.Login
	if err := request.JSON(c, &login); err != nil {
		return err
	}
	if err := h.Sessions.StartSession(c, login.Token); err != nil {
		return err
	}
	return noContent(c)
}

// Show answers GET /console/session.
func (h *Handlers) Show(c echo.Context) error {
	answer := api.Session{
		Version: h.Version, PublicURL: h.URLs.Base,
		Simulated: slices.ContainsFunc(h.Copies.Accounts(), func(p providers.Guarded) bool { return p.Describe().Simulated }),
	}
	token, exists, err := h.Sessions.RequestToken(c)
	if err != nil {
		return err
	}
	if exists {
		answer.Token = &api.SessionToken{ID: token.ID, Name: token.Name, Scopes: token.Scopes, ExpiresAt: view.OptionalTime(token.ExpiresAt)}
	}
	return respond.JSON(c, http.StatusOK, answer)
}

// End answers DELETE /console/session. It needs no session: an expired one can be ended.
func (h *Handlers) End(c echo.Context) error {
	h.Sessions.EndSession(c)
	return noContent(c)
}

func noContent(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return c.NoContent(http.StatusNoContent)
}
