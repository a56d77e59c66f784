package providers

import (
	"cmp"
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
// digest>-<fence><extension>. The mark says which installation made the file. The digest
// identifies the remote file if the reply to its upload was lost. The fence makes the
// name different for each attempt, since a provider may rename a file with a known name.
// The name keeps an extension that is not the remote one: main.rs becomes
// main.rs-….txt.
func RemoteName(m Mark, name string, d cas.Digest, extension string, fence int64) string {
	return remoteBase(name, extension) + "-" + string(m) + "-" + RemoteNameDigest(d) + "-" + strconv.FormatInt(fence, 10) + extension
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

// remoteName matches remote names. Kimi inserts " (1)" and so on before the extension of
// a name that already exists.
var remoteName = regexp.MustCompile(`(?s)^.*-(` + markPattern + `)-([0-9a-f]{16})-([0-9]{1,19})(?: \([0-9]{1,9}\))?(\..*)?$`)

// ParseRemoteName splits a remote name. ok is false if no casgate made it.
func ParseRemoteName(name string) (n ParsedRemoteName, ok bool) {
	parts := remoteName.FindStringSubmatch(name)
	if parts == nil {
		return n, false
	}
	fence, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || fence < 1 {
		return n, false
	}
	return ParsedRemoteName{Mark(parts[1]), parts[2], fence, parts[4]}, true
}

// RemoteNameDigest returns the digits of a digest that are part of remote names.
func RemoteNameDigest(d cas.Digest) string { return d.Hex()[:digestHex] }
