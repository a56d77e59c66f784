// Package api has the JSON types of the gateway's HTTP contract. The server and the Go
// client share them.
package api

// HeaderProblemCode carries the code of a problem in an answer to HEAD, which has no body.
const HeaderProblemCode = "X-Problem-Code"

// ExposedHeaders are the fields of answers that a browser shows to pages of other origins,
// beside those that it shows in any case.
var ExposedHeaders = []string{
	"Accept-Ranges", "Allow", "Content-Disposition", "Content-Location", "Content-Range", "Date", "ETag", "Location", "Preference-Applied",
	"Repr-Digest", "Retry-After", "WWW-Authenticate", HeaderProblemCode, "X-Request-Id", HeaderShouldRetry,
	HeaderOwnError, "Mcp-Session-Id", "X-Casgate-Provider", "X-Casgate-Healed", "X-Casgate-Upstream-Request-Id",
}
