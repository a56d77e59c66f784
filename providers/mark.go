package providers

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Mark identifies an installation in the names of its remote files: "cas" and ten
// letters or digits. Gateways that share an index share its mark. Two casgates with
// indexes of their own have different marks, so neither takes the other's files for its
// own if they use one account.
type Mark string

const markPattern = `cas[a-z0-9]{10}`

var wholeMark = regexp.MustCompile(`^` + markPattern + `$`)

// NewMark returns a random mark, of 50 random bits.
func NewMark() Mark { return Mark("cas" + strings.ToLower(rand.Text()[:10])) }

// Check returns an error if m doesn't have the form of a mark.
func (m Mark) Check() error {
	if !wholeMark.MatchString(string(m)) {
		return fmt.Errorf("%q is not a mark: a mark is cas and ten letters or digits", string(m))
	}
	return nil
}

// Hash returns 16 hex digits that tell one installation from another, and don't tell its mark.
func (m Mark) Hash() string {
	sum := sha256.Sum256([]byte("casgate installation " + string(m)))
	return hex.EncodeToString(sum[:8])
}
