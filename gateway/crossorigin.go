package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/rs/cors"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
)

// preflightAge is how long a browser may keep the answer to a preflight request, in
// seconds. Chromium keeps none for longer.
const preflightAge = 7200

// checkOrigins refuses what is not the origin of pages as browsers write it.
func checkOrigins(origins []string) error {
	for _, origin := range origins {
		if origin == "*" {
			return fmt.Errorf("CAS_CORS_ORIGINS: * would allow every page of the internet; list the origins, such as https://app.example.com")
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) || strings.Contains(origin, "*") || u.Port() == defaultPorts[u.Scheme] && u.Port() != "" {
			return fmt.Errorf("CAS_CORS_ORIGINS: %q is not an origin as browsers write it, such as https://app.example.com or http://localhost:5173: lower case, no path, no default port, no wildcard", origin)
		}
	}
	return nil
}

// defaultPorts are the ports that browsers leave out of an origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

// crossOrigin lets pages of these origins use the API from a browser: it answers their
// preflight requests, which have no token, and marks all answers, errors included, as
// readable by them. There are no credentials but the field Authorization, which a page
// sets itself: cookies of other origins are never taken.
func crossOrigin(origins []string) echo.MiddlewareFunc {
	rules := cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"*"}, // the SDKs send fields of their own
		ExposedHeaders: api.ExposedHeaders,
		MaxAge:         preflightAge,
		// A page of the internet may use a gateway in a private network.
		AllowPrivateNetwork: true,
	})
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if len(c.Request().Header.Values(echo.HeaderOrigin)) > 1 {
				return problem.BadRequest("the request has two fields Origin; a browser sends one")
			}
			rules.HandlerFunc(c.Response(), c.Request())
			if c.Response().Committed { // it was a preflight request
				return nil
			}
			return next(c)
		}
	}
}

// checkRequest refuses requests with a malformed query, or with two types of their body.
func checkRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := request.CheckQuery(c.Request()); err != nil {
			return err
		}
		if types := c.Request().Header[echo.HeaderContentType]; len(types) > 1 && slices.ContainsFunc(types, func(other string) bool { return other != types[0] }) {
			return problem.BadRequest("the request has two fields Content-Type that differ")
		}
		return next(c)
	}
}
