// Package access has the values of authorization: API tokens with their scopes, and
// the keys that sign hash URLs. The index stores them, and the gateway checks them.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"casgate/cas"
)

// The errors of this package and of the indexes that store its values.
var (
	ErrTokenMalformed = errors.New("malformed token")
	ErrTokenNotFound  = errors.New("token not found")
	ErrKeyNotFound    = errors.New("signing key not found")
	ErrBadSignature   = errors.New("signed URL is not valid")
	ErrBadSession     = errors.New("session is not valid")
)

// Scope is one permission of a token.
type Scope string

// The scopes. Admin includes all others.
const (
	ScopeRead   Scope = "read"
	ScopeWrite  Scope = "write"
	ScopeDelete Scope = "delete"
	ScopeSync   Scope = "sync"
	ScopeChat   Scope = "chat" // send requests to models
	ScopeAdmin  Scope = "admin"
)

// AllScopes lists every scope; admin is the last.
var AllScopes = []Scope{ScopeRead, ScopeWrite, ScopeDelete, ScopeSync, ScopeChat, ScopeAdmin}

// ParseScopes reads a comma-separated list such as "read,write". For an empty list or
// an unknown scope it returns an error that lists all scopes.
func ParseScopes(s string) ([]Scope, error) {
	var words []Scope
	for word := range strings.SplitSeq(s, ",") {
		words = append(words, Scope(strings.TrimSpace(word)))
	}
	return CheckScopes(words)
}

// CheckScopes returns the scopes, each once. For an empty list or an unknown scope it
// returns an error that lists all scopes.
func CheckScopes(words []Scope) ([]Scope, error) {
	var scopes []Scope
	for _, scope := range words {
		if !slices.Contains(AllScopes, scope) {
			return nil, fmt.Errorf("unknown scope %q; the scopes are %s", scope, JoinScopes(AllScopes))
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	if len(scopes) == 0 {
		return nil, fmt.Errorf("no scope is given; the scopes are %s", JoinScopes(AllScopes))
	}
	return scopes, nil
}

// JoinScopes is the inverse of ParseScopes.
func JoinScopes(scopes []Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, ",")
}

// Token is an API token as the index stores it. It does not contain the secret.
type Token struct {
	ID         string
	SecretHash [sha256.Size]byte
	Name       string // a description for people
	Scopes     []Scope
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	LastUsedAt time.Time // zero: never; written in batches, so up to a minute late
	RevokedAt  time.Time // zero: not revoked
}

// MaxTokenName is the longest name of a token, in characters.
const MaxTokenName = 255

// Check returns an error if no index stores the token: its name is empty or too long, or has
// control characters, which a list on a terminal would obey. If the text of a field can't be
// stored, the error wraps cas.ErrInvalidText.
func (t Token) Check() error {
	if err := cas.CheckText("token id", t.ID); err != nil {
		return err
	}
	if err := cas.CheckText("token name", t.Name); err != nil {
		return err
	}
	if strings.TrimSpace(t.Name) == "" || utf8.RuneCountInString(t.Name) > MaxTokenName || strings.ContainsFunc(t.Name, unicode.IsControl) {
		return fmt.Errorf("token name: it needs 1 to %d characters, not blanks alone, and no control characters, such as the name of the token's user", MaxTokenName)
	}
	return nil
}

// TokenQuery selects a page of the tokens, newest first.
type TokenQuery struct {
	Limit int // at least 1
	// After is the place of the last token of the page before. The zero value selects the
	// first page.
	After TokenPlace
}

// TokenPlace is a place in the list of tokens.
type TokenPlace struct {
	CreatedAt time.Time
	ID        string
}

// Place returns the token's place in the list.
func (t Token) Place() TokenPlace { return TokenPlace{t.CreatedAt, t.ID} }

// tokenText finds tokens in a text.
var tokenText = regexp.MustCompile(tokenPrefix + `[a-z0-9]+_[a-z2-7]+`)

// WithoutSecrets returns a text without the secrets of tokens in it, for a log: a path has
// one where somebody took a token for its id.
func WithoutSecrets(text string) string {
	if !strings.Contains(text, tokenPrefix) {
		return text
	}
	return tokenText.ReplaceAllStringFunc(text, func(token string) string {
		return token[:strings.LastIndexByte(token, '_')+1] + "…"
	})
}

// tokenPrefix is the start of every token, so that secret scanners find leaked tokens.
const tokenPrefix = "cas_"

// encoding has no underscore, which separates a token's parts, and no upper case.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewToken returns a token with a random id and a secret of 32 random bytes, and its
// text, "cas_<id>_<secret>". The text can't be computed again.
func NewToken(name string, scopes []Scope, expiresAt time.Time) (t Token, text string) {
	var id [10]byte
	var secret [32]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	t = Token{
		ID:         encoding.EncodeToString(id[:]),
		SecretHash: sha256.Sum256(secret[:]),
		Name:       name,
		Scopes:     scopes,
		ExpiresAt:  expiresAt,
	}
	return t, tokenPrefix + t.ID + "_" + encoding.EncodeToString(secret[:])
}

// Credential is a token as a caller presents it, not yet checked.
type Credential struct {
	ID         string
	secretHash [sha256.Size]byte
}

// ParseCredential reads a token's text form. The error wraps ErrTokenMalformed
// and never repeats the text.
func ParseCredential(text string) (Credential, error) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	id, secretText, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || id == "" || len(id) > 64 {
		return Credential{}, fmt.Errorf("%w: a token looks like cas_<id>_<secret>", ErrTokenMalformed)
	}
	var secret [32]byte
	if len(secretText) != encoding.EncodedLen(len(secret)) {
		return Credential{}, fmt.Errorf("%w: the secret has the wrong length", ErrTokenMalformed)
	}
	if _, err := encoding.Decode(secret[:], []byte(secretText)); err != nil {
		return Credential{}, fmt.Errorf("%w: the secret has invalid characters", ErrTokenMalformed)
	}
	return Credential{ID: id, secretHash: sha256.Sum256(secret[:])}, nil
}

// Matches reports, in constant time, whether c is the credential of t, and t is
// neither revoked nor expired at now. The zero Token matches no credential, in the same
// time.
func (c Credential) Matches(t Token, now time.Time) bool {
	same := subtle.ConstantTimeCompare(c.secretHash[:], t.SecretHash[:]) == 1
	return same && t.IsValid(now) && t.ID != "" && t.ID == c.ID
}

// IsValid reports whether the token is neither revoked nor expired at now.
func (t Token) IsValid(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// Allows reports whether the token has the scope, or admin.
func (t Token) Allows(s Scope) bool {
	return slices.Contains(t.Scopes, s) || slices.Contains(t.Scopes, ScopeAdmin)
}
