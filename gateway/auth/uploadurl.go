package auth

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/gateway/api"
	"casgate/gateway/request"
	"casgate/gateway/view"
)

// SignUpload returns the URL at which a file can be uploaded as the grant says. The grant
// is that of the request's token.
func (a *Authorizer) SignUpload(c echo.Context, g access.UploadGrant) (api.UploadURL, error) {
	if !a.o.NoAuth {
		known, err := a.tokenOf(c)
		if err != nil {
			return api.UploadURL{}, err
		}
		g.TokenID = known.token.ID
	}
	key, err := a.keys.signing(c.Request().Context())
	if err != nil {
		return api.UploadURL{}, err
	}
	g = key.SignUpload(g)
	address := a.o.URLs.Base + view.UploadURLsPath + "?" + g.Query().Encode()
	return api.UploadURL{
		URL: address, Method: http.MethodPut, Headers: map[string]string{}, MaxBytes: g.MaxBytes, ExpiresAt: g.Expires,
		Curl: "curl -T FILE '" + address + "'",
	}, nil
}

// UploadURL lets an upload through that has a valid grant, if the token of the grant may
// still upload.
func (a *Authorizer) UploadURL(next func(echo.Context, access.UploadGrant) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		g, err := access.ParseUploadGrant(c.QueryParams())
		if err != nil {
			return err
		}
		key, err := a.keys.find(c.Request().Context(), g.KeyID)
		if err != nil {
			return err
		}
		if err := g.Verify(key, time.Now()); err != nil {
			return err
		}
		if err := a.checkGrantor(c, g); err != nil {
			return err
		}
		// The holder sees no more than what it brings: MayRead stays false.
		request.StateOf(c).Record.Actor = journal.ActorUploadURL + g.TokenID
		return next(c, g)
	}
}

// checkGrantor checks the token that made a grant. It asks the index each time, so a
// revocation takes effect at once.
func (a *Authorizer) checkGrantor(c echo.Context, g access.UploadGrant) error {
	if g.TokenID == "" {
		if !a.o.NoAuth {
			return fmt.Errorf("%w: a gateway without authentication made it", access.ErrBadSignature)
		}
		return nil
	}
	token, err := a.tokens.lookUp(c.Request().Context(), g.TokenID)
	switch now := time.Now(); {
	case errors.Is(err, access.ErrTokenNotFound), err == nil && !token.IsValid(now):
		return fmt.Errorf("%w: the token that made it was revoked or has expired", access.ErrBadSignature)
	case err != nil:
		return err
	default:
		if err := a.checkRate(token.ID); err != nil {
			return err
		}
		a.tokens.noteUse(token.ID, now)
	}
	needed := []access.Scope{access.ScopeWrite}
	if len(g.Providers) > 0 {
		needed = append(needed, access.ScopeSync)
	}
	return checkScopes(token, needed)
}
