package tokenapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
)

// pageSize is the number of tokens on a page.
var pageSize = request.IntRange{Default: 100, Min: 1, Max: 1000}

// List answers GET /v1/tokens.
func (h *Handlers) List(c echo.Context) error {
	if err := request.CheckOnce(c); err != nil {
		return err
	}
	limit, err := request.Int(c, "limit", pageSize)
	if err != nil {
		return err
	}
	after, err := parsePlace(c.QueryParam("after"))
	if err != nil {
		return err
	}
	// One more, to know whether there is a next page.
	tokens, err := h.Index.TokenPage(c.Request().Context(), access.TokenQuery{Limit: int(limit) + 1, After: after})
	if err != nil {
		return err
	}
	page := api.TokenPage{Tokens: make([]api.Token, 0, len(tokens))}
	if int64(len(tokens)) > limit {
		tokens = tokens[:limit]
		page.Next = formatPlace(tokens[limit-1].Place())
	}
	for _, token := range tokens {
		page.Tokens = append(page.Tokens, view.Token(token))
	}
	return respond.JSON(c, http.StatusOK, page)
}

// A place in the list is opaque to clients: a time in microseconds and an id.
func formatPlace(p access.TokenPlace) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", p.CreatedAt.UnixMicro(), p.ID))
}

func parsePlace(text string) (access.TokenPlace, error) {
	if text == "" {
		return access.TokenPlace{}, nil
	}
	place, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil {
		at, id, _ := strings.Cut(string(place), " ")
		var micros int64
		if micros, err = strconv.ParseInt(at, 10, 64); err == nil && micros >= 0 && micros < 1<<52 && id != "" && cas.CheckText("id", id) == nil {
			return access.TokenPlace{CreatedAt: time.UnixMicro(micros).UTC(), ID: id}, nil
		}
	}
	return access.TokenPlace{}, request.BadParam("after", "this is no place in the list of tokens; pass the `next` of a page")
}
