package providers

import (
	"cmp"
	"mime"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"casgate/cas"
)

// maxRemoteBase is how many bytes of a file's own name its remote name keeps. With
// all that comes after it, the whole stays below the 255 bytes that file systems
// and most providers take.
const maxRemoteBase = 120

// digestHex is how many hex digits of a blob's digest its remote names carry.
const digestHex = 16

// RemoteName returns the name a copy is uploaded under:
// <name>-<16 hex of the digest>-<fence><extension>. The digest in it is how a
// remote file is recognised when the reply to its upload was lost, and the fence
// makes the name one of its own for each attempt, since a provider may rename
// what repeats a name.
func RemoteName(name string, d cas.Digest, extension string, fence int64) string {
	return remoteBase(name) + "-" + RemoteNameDigest(d) + "-" + strconv.FormatInt(fence, 10) + extension
}

// remoteBase makes a name harmless: no folders, no control characters, no
// extension, not too long.
func remoteBase(name string) string {
	name = CleanName(name)
	name = strings.TrimSuffix(name, path.Ext(name))
	if len(name) > maxRemoteBase {
		name = name[:maxRemoteBase]
		for !utf8.ValidString(name) { // a character was cut
			name = name[:len(name)-1]
		}
	}
	return cmp.Or(strings.Trim(name, " ."), "file")
}

// CleanName returns the last part of a name, without what could mislead a
// provider or break a header: control and formatting characters, quotes,
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
	DigestHex string // the first 16 digits
	Fence     int64
	Extension string
}

// ParseRemoteName takes a remote name apart; ok is false where it isn't one of
// ours. Kimi puts " (1)" and so on before the extension of a name that it has
// already.
func ParseRemoteName(name string) (n ParsedRemoteName, ok bool) {
	// The extension is what comes after our fence, and not what path.Ext takes for it:
	// some have two dots.
	for i := len(name); i > 0; {
		i = strings.LastIndexByte(name[:i], '-')
		if i < digestHex+1 {
			return n, false
		}
		hex := name[i-digestHex : i]
		if name[i-digestHex-1] != '-' || !isLowerHex(hex) {
			continue
		}
		rest := name[i+1:]
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(rest)
		}
		fence, err := strconv.ParseInt(rest[:end], 10, 64)
		if err != nil || fence < 1 {
			continue
		}
		extension := trimRepeat(rest[end:])
		if extension != "" && extension[0] != '.' {
			continue
		}
		return ParsedRemoteName{hex, fence, extension}, true
	}
	return n, false
}

// trimRepeat removes a leading " (n)".
func trimRepeat(s string) string {
	inner, found := strings.CutPrefix(s, " (")
	if !found {
		return s
	}
	number, rest, found := strings.Cut(inner, ")")
	if _, err := strconv.ParseUint(number, 10, 32); !found || err != nil {
		return s
	}
	return rest
}

func isLowerHex(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) < 0
}

// Extension returns what decides how a provider reads a file: the extension of
// its name, lower-case with its dot, else the usual one of its media type, else
// nothing.
func Extension(name, mediaType string) string {
	ext := strings.ToLower(path.Ext(CleanName(name)))
	if len(ext) > 1 && len(ext) <= 16 && strings.IndexFunc(ext[1:], func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '_' && r != '+'
	}) < 0 {
		return ext
	}
	mediaType, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return ""
	}
	return usualExtensions[mediaType]
}

// usualExtensions are those of media types that providers take. Go's own table
// depends on the machine, and lists several for a type in no useful order.
var usualExtensions = map[string]string{
	"application/epub+zip":           ".epub",
	"application/json":               ".json",
	"application/jsonl":              ".jsonl",
	"application/x-ndjson":           ".jsonl",
	"application/msword":             ".doc",
	"application/pdf":                ".pdf",
	"application/vnd.ms-excel":       ".xls",
	"application/vnd.ms-powerpoint":  ".ppt",
	"application/x-mobipocket-ebook": ".mobi",
	"application/yaml":               ".yaml",
	"audio/mpeg":                     ".mp3",
	"audio/wav":                      ".wav",
	"image/gif":                      ".gif",
	"image/jpeg":                     ".jpg",
	"image/png":                      ".png",
	"image/webp":                     ".webp",
	"image/bmp":                      ".bmp",
	"image/svg+xml":                  ".svg",
	"image/tiff":                     ".tiff",
	"text/csv":                       ".csv",
	"text/html":                      ".html",
	"text/markdown":                  ".md",
	"text/plain":                     ".txt",
	"text/css":                       ".css",
	"text/javascript":                ".js",
	"video/3gpp":                     ".3gp",
	"video/mp4":                      ".mp4",
	"video/mpeg":                     ".mpeg",
	"video/quicktime":                ".mov",
	"video/webm":                     ".webm",
	"video/x-flv":                    ".flv",
	"video/x-ms-wmv":                 ".wmv",
	"video/x-msvideo":                ".avi",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document":   ".docx",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":         ".xlsx",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
}

// RemoteNameDigest returns the digits of a digest that remote names carry.
func RemoteNameDigest(d cas.Digest) string { return d.Hex()[:digestHex] }
