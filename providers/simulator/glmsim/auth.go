package glmsim

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"casgate/providers/simulator"
)

// authorize checks the two forms of a credential: the API key "<id>.<secret>"
// itself, and a JWT that is signed with its secret.
func (s *Server) authorize(r *http.Request) *simulator.Answer {
	token, ok := simulator.Bearer(r)
	if !ok {
		a := s.answer(errNoAuth)
		return &a
	}
	refusal := s.checkKey
	if strings.Count(token, ".") == 2 {
		refusal = s.checkJWT
	}
	if e := refusal(token); e != nil {
		a := s.answer(*e)
		return &a
	}
	return nil
}

func (s *Server) checkKey(token string) *simulator.ErrorRow {
	if s.options.Key != "" && subtle.ConstantTimeCompare([]byte(token), []byte(s.options.Key)) != 1 {
		return &errAuth
	}
	return nil
}

// checkJWT checks a token as the public SDKs make it: the header has alg HS256
// and sign_type SIGN; the payload has api_key, and exp and timestamp in
// milliseconds.
func (s *Server) checkJWT(token string) *simulator.ErrorRow {
	parts := strings.Split(token, ".")
	var header struct {
		Alg      string `json:"alg"`
		SignType string `json:"sign_type"`
	}
	var payload struct {
		APIKey    string `json:"api_key"`
		Exp       int64  `json:"exp"`
		Timestamp int64  `json:"timestamp"`
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !decode(parts[0], &header) || !decode(parts[1], &payload) ||
		header.Alg != "HS256" || header.SignType != "SIGN" || payload.APIKey == "" || payload.Timestamp == 0 {
		return &errBadToken
	}
	if s.options.Key != "" {
		id, secret, _ := strings.Cut(s.options.Key, ".")
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(parts[0] + "." + parts[1]))
		if payload.APIKey != id || !hmac.Equal(signature, mac.Sum(nil)) {
			return &errAuth
		}
	}
	// One in seconds is in the past, read as milliseconds.
	if payload.Exp <= s.core.Now().UnixMilli() {
		return &errExpired
	}
	return nil
}

func decode(part string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(b, into) == nil
}
