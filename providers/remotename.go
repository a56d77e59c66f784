package providers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"casgate/cas"
)

// maxRemoteBase is the largest number of bytes of a file's own name in its remote
// name. The whole remote name then stays below 255 bytes, the limit of file systems
// and most providers.
const maxRemoteBase = 120

// digestHex is the number of hex digits of the digest in a remote name.
const digestHex = 16

// RemoteName returns the remote name of a copy: <name>-<mark>-<16 hex of the
// digest>-<fence>-<check><extension>. The mark says which installation made the file. The
// digest identifies the remote file if the reply to its upload was lost. The fence makes
// the name different for each attempt, since a provider may rename a file with a known
// name. The check is of all other parts, so a name that was changed ("Copy of …") is not
// taken for one that an installation gave. The name keeps an extension that is not the
// remote one: main.rs becomes main.rs-….txt.
func RemoteName(m Mark, name string, d cas.Digest, extension string, fence int64) string {
	return remoteNameOf(remoteBase(name, extension), ParsedRemoteName{m, RemoteNameDigest(d), fence, extension})
}

func remoteNameOf(base string, n ParsedRemoteName) string {
	stem := base + "-" + string(n.Mark) + "-" + n.DigestHex + "-" + strconv.FormatInt(n.Fence, 10)
	check := sha256.Sum256([]byte("casgate remote name\x00" + stem + "\x00" + n.Extension))
	return stem + "-" + hex.EncodeToString(check[:4]) + n.Extension
}

// remoteBase returns a name without folders and control characters, of at most
// maxRemoteBase bytes. It removes the extension if it is the remote one.
func remoteBase(name, extension string) string {
	name = CleanName(name)
	if own := path.Ext(name); strings.EqualFold(own, extension) {
		name = name[:len(name)-len(own)]
	}
	if len(name) > maxRemoteBase {
		name = name[:maxRemoteBase]
		for !utf8.ValidString(name) { // a character was cut
			name = name[:len(name)-1]
		}
	}
	return cmp.Or(strings.Trim(name, " ."), "file")
}

// CleanName returns the last part of a name, without characters that could mislead
// a provider or break a header: control and formatting characters, quotes,
// backslashes.
func CleanName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		case r == '"':
			return '\''
		case strings.ContainsRune(`<>:|?*`, r):
			return '_'
		}
		return r
	}, name)
}

// ParsedRemoteName holds the parts of a remote name that RemoteName made.
type ParsedRemoteName struct {
	Mark      Mark
	DigestHex string // the first 16 digits
	Fence     int64
	Extension string
}

// remoteName matches what may be a remote name. Its check decides.
var remoteName = regexp.MustCompile(`(?s)^(.+)-(` + markPattern + `)-([0-9a-f]{16})-([0-9]{1,19})-[0-9a-f]{8}(\..*)?$`)

// ParseRemoteName splits a remote name. ok is false if no casgate made exactly this name.
func ParseRemoteName(name string) (n ParsedRemoteName, ok bool) {
	parts := remoteName.FindStringSubmatch(name)
	if parts == nil {
		return n, false
	}
	fence, err := strconv.ParseInt(parts[4], 10, 64)
	if err != nil || fence < 1 {
		return n, false
	}
	n = ParsedRemoteName{Mark(parts[2]), parts[3], fence, parts[5]}
	if remoteNameOf(parts[1], n) != name {
		return ParsedRemoteName{}, false
	}
	return n, true
}

// renamed matches a name to which a provider has added " (1)" and so on, before the
// extension, because it had a file with that name.
var renamed = regexp.MustCompile(`(?s)^(.*-[0-9a-f]{8}) \([0-9]{1,9}\)(\..*)?$`)

// ParseRemoteName is the function ParseRemoteName for a name in an account's list. It also
// splits a remote name that the provider has changed, if it is known to do that.
func (d Description) ParseRemoteName(name string) (n ParsedRemoteName, ok bool) {
	if parts := renamed.FindStringSubmatch(name); parts != nil && d.RenamesDuplicates {
		name = parts[1] + parts[2]
	}
	return ParseRemoteName(name)
}

// RemoteNameDigest returns the digits of a digest that are part of remote names.
func RemoteNameDigest(d cas.Digest) string { return d.Hex()[:digestHex] }
