package request

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/problem"
)

// HeaderIdempotencyKey is the field that makes repetitions of a POST one request
// (draft-ietf-httpapi-idempotency-key-header). Its value is taken as it is, quoted or not,
// since clients send both.
const HeaderIdempotencyKey = "Idempotency-Key"

const maxIdempotencyKey = 255 // bytes

// IdempotencyKey is the key of a request; nil: it has none.
type IdempotencyKey struct{ id [sha256.Size]byte }

// ReadIdempotencyKey reads the key of a request. It belongs to the request's actor.
func ReadIdempotencyKey(c echo.Context) (*IdempotencyKey, error) {
	values := c.Request().Header.Values(HeaderIdempotencyKey)
	if len(values) == 0 {
		return nil, nil
	}
	key := strings.TrimSpace(values[0])
	if len(values) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, problem.WithParam(HeaderIdempotencyKey, problem.BadRequest(fmt.Sprintf(
			"%s: send one key of up to %d printable ASCII characters, such as a random UUID", HeaderIdempotencyKey, maxIdempotencyKey)))
	}
	owned := fmt.Sprintf("sent\n%q\n%q", StateOf(c).Record.Actor, key)
	return &IdempotencyKey{sha256.Sum256([]byte(owned))}, nil
}

// GrantKey returns the key of a request that a grant with this id allows: all requests of a
// grant have the same key.
func GrantKey(c echo.Context, grantID string) *IdempotencyKey {
	owned := fmt.Sprintf("grant\n%q\n%q", StateOf(c).Record.Actor, grantID)
	return &IdempotencyKey{sha256.Sum256([]byte(owned))}
}

// Alone returns the key of a request of which it isn't known yet what it asks for.
func (k *IdempotencyKey) Alone() *cas.IdempotencyKey {
	if k == nil {
		return nil
	}
	return &cas.IdempotencyKey{ID: k.id}
}

// For returns the key of a request that asks for this, besides the bytes. Asked can be
// written as JSON; equal requests have equal JSON.
func (k *IdempotencyKey) For(asked any) *cas.IdempotencyKey {
	if k == nil {
		return nil
	}
	text, err := json.Marshal(asked)
	if err != nil {
		panic(err) // the types of requests can be marshalled
	}
	return &cas.IdempotencyKey{ID: k.id, Request: sha256.Sum256(text)}
}
