package tokenapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/request"
	"casgate/gateway/view"
)

// oneToken is an index of one token, and a journal that is down.
type oneToken struct {
	token   access.Token
	revoked string
}

func (x *oneToken) CreateToken(_ context.Context, t access.Token) (access.Token, error) {
	x.token = t
	return t, nil
}
func (x *oneToken) Token(context.Context, string) (access.Token, error) { return x.token, nil }
func (x *oneToken) TokenPage(context.Context, access.TokenQuery) ([]access.Token, error) {
	return nil, nil
}
func (x *oneToken) RevokeToken(ctx context.Context, id string) error {
	if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
		return errors.New("revoking has no limit, or ends with the client")
	}
	x.revoked = id
	return nil
}
func (x *oneToken) RequestNow(echo.Context, time.Time) error { return cas.ErrIndexUnavailable }

// admin lets everything through.
type admin struct{}

func (admin) RequestToken(echo.Context) (access.Token, bool, error) { return access.Token{}, true, nil }
func (admin) Require(echo.Context, access.Scope) error              { return nil }
func (admin) Forget(string)                                         {}

// deadlines is a writer whose connection takes deadlines.
type deadlines struct{ http.ResponseWriter }

func (deadlines) SetReadDeadline(time.Time) error { return nil }

// A token that the journal can't have is no token.
func TestTokenWithoutRecord(t *testing.T) {
	t.Parallel()
	x := &oneToken{}
	h := &Handlers{Index: x, Authorizer: admin{}, Recorder: x, URLs: view.URLs{Base: "http://gateway"}}
	r := httptest.NewRequest(http.MethodPost, "/v1/tokens", strings.NewReader(`{"name":"x","scopes":["read"]}`))
	w := httptest.NewRecorder()
	err := h.Create(echo.New().NewContext(r, request.NewState(deadlines{w}, "operation")))
	if !errors.Is(err, cas.ErrIndexUnavailable) || x.token.ID == "" || x.revoked != x.token.ID || w.Body.Len() > 0 {
		t.Errorf("%v; made %q, revoked %q, answered %q", err, x.token.ID, x.revoked, w.Body.String())
	}
}

// A token that is revoked without a record is revoked: the client must know.
func TestRevokeWithoutRecord(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	x := &oneToken{token: access.Token{ID: "tok_x"}}
	h := &Handlers{Index: x, Authorizer: admin{}, Recorder: x, URLs: view.URLs{Base: "http://gateway"}, Log: zerolog.New(&log)}
	w := httptest.NewRecorder()
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(gone, http.MethodDelete, "/v1/tokens/tok_x", nil)
	c := echo.New().NewContext(r, request.NewState(deadlines{w}, "operation"))
	c.SetParamNames("token")
	c.SetParamValues("tok_x")
	if err := h.Revoke(c); err != nil || x.revoked != "tok_x" || w.Code != 200 || !strings.Contains(log.String(), "tok_x") {
		t.Errorf("%v; revoked %q, answered %d %s, logged %q", err, x.revoked, w.Code, w.Body.String(), log.String())
	}
}
