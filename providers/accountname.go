package providers

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
)

// Account returns the fingerprint of a provider's credential at a host. Two
// credentials, or the same one at two providers, have different fingerprints. A
// fingerprint doesn't reveal the credential.
func Account(provider, host, credential string) string {
	sum := sha256.Sum256([]byte("casgate account\x00" + provider + "\x00" + host + "\x00" + credential))
	return hex.EncodeToString(sum[:6]) + "@" + host
}

var accountName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

// NamedAccount returns the account with a name that its owner chose: it stays the same
// if the credential changes. It never equals a fingerprint.
func NamedAccount(provider, host, name string) (string, error) {
	if !accountName.MatchString(name) {
		return "", errors.New("must be 1 to 64 lower-case letters, digits, dots, dashes and underscores, and begin and end with a letter or digit")
	}
	return provider + ":" + name + "@" + host, nil
}
