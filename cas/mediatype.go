package cas

import (
	"mime"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

// DefaultMediaType is the media type of bytes of an unknown type.
const DefaultMediaType = "application/octet-stream"

const (
	textPlain = "text/plain"
	zipType   = "application/zip"
	// DetectLen is the number of first bytes that decide a blob's media type.
	DetectLen = 3072
)

// NormalMediaType returns a declared media type in its normal form. It is empty if the
// declaration says nothing about the bytes: it is missing, malformed or too long, it
// has a wildcard such as image/*, or it is a type that clients send by default.
func NormalMediaType(declared string) string {
	if len(declared) > maxMediaType || CheckText("media type", declared) != nil {
		return ""
	}
	base, parameters, err := mime.ParseMediaType(declared)
	if err != nil || !strings.Contains(base, "/") || strings.Contains(base, "*") {
		return ""
	}
	if slices.Contains(unknownTypes, base) {
		return ""
	}
	if normal := mime.FormatMediaType(base, parameters); len(normal) <= maxMediaType && checkMediaType(normal) == nil {
		return normal
	}
	return ""
}

// unknownTypes are types that clients send for bytes of which they know nothing.
var unknownTypes = []string{
	DefaultMediaType, "binary/octet-stream", "application/unknown", "application/binary",
	"application/x-download", "application/force-download", "application/x-www-form-urlencoded",
}

// SaysNothing reports whether a media type without parameters tells nothing about bytes.
func SaysNothing(base string) bool {
	return !strings.Contains(base, "/") || strings.Contains(base, "*") || slices.Contains(unknownTypes, base)
}

// ShownMediaType returns the media type to show for a stored one. Rows of earlier versions
// may have a wildcard such as image/*, which no client can use.
func ShownMediaType(stored string) string {
	if base, _, _ := strings.Cut(stored, ";"); strings.Contains(base, "*") {
		return DefaultMediaType
	}
	return stored
}

// RefineMediaType returns the declared media type, in its normal form and its usual
// spelling, if bytes of the known type can have it, and else the known type. Known is the
// type of a blob: what its bytes say. So a text that is declared as text/markdown is
// text/markdown, and a PDF that is declared as image/png is a PDF.
func RefineMediaType(known, declared string) string {
	base, parameters, err := mime.ParseMediaType(NormalMediaType(declared))
	if err != nil {
		return known
	}
	base = UsualType(base)
	if !CanBe(known, base) {
		return known
	}
	if !IsText(base) {
		delete(parameters, "charset") // such as charset=binary
		if format := mimetype.Lookup(baseType(known)); format != nil && format.Is(base) && !isSameMedia(known, base) {
			base = baseType(known)
		}
	}
	return mime.FormatMediaType(base, parameters)
}

// UsualType returns a media type in its usual spelling. The type has no parameters, and is
// lower-case.
func UsualType(base string) string {
	if usual := usualSpellings[base]; usual != "" {
		return usual
	}
	return base
}

// usualSpellings are the usual spellings of media types that have several.
var usualSpellings = map[string]string{
	"application/x-pdf": "application/pdf", "application/acrobat": "application/pdf", "text/pdf": "application/pdf",
	"application/x-zip-compressed": zipType, "application/x-zip": zipType,
	"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/jfif": "image/jpeg",
	"image/x-png":     "image/png",
	"text/x-markdown": "text/markdown", "application/markdown": "text/markdown",
	"text/json": "application/json", "application/x-json": "application/json",
	"application/x-yaml": "application/yaml", "text/yaml": "application/yaml", "text/x-yaml": "application/yaml",
	"application/csv": "text/csv", "text/x-csv": "text/csv",
	"audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/vnd.wave": "audio/wav",
	"audio/mp3":                "audio/mpeg",
	"video/matroska":           "video/x-matroska", // its registered name; the older one is more widely known
	"application/x-javascript": "text/javascript", "application/javascript": "text/javascript",
}

// guessedArchives are types that an archive gets for the name of its first entries, which any
// archive may have.
var guessedArchives = []string{"application/vnd.android.package-archive", "application/java-archive"}

// CanBe reports whether bytes of the known type can have the declared type. Parameters
// don't count.
func CanBe(known, declared string) bool {
	known, declared = baseType(known), baseType(declared)
	switch {
	case known == declared, SaysNothing(known):
		return true
	case IsText(known):
		return IsText(declared) || !isBinary(declared)
	case IsText(declared):
		return false
	case slices.Contains(guessedArchives, known) && UsualType(declared) == zipType:
		return true
	}
	if format := mimetype.Lookup(declared); format != nil {
		return descends(format, known) || isSameMedia(known, declared)
	}
	return IsContainer(known) && !isMedia(declared) || isSameMedia(known, declared)
}

// IsText reports whether bytes of a media type are text, in whatever notation. SVG is;
// RTF is not, although its type may begin with "text/". IsText runs several times for each
// request for a copy, so it asks only lists.
func IsText(mediaType string) bool {
	base := baseType(mediaType)
	if base == "text/rtf" {
		return false
	}
	if strings.HasPrefix(base, "text/") || slices.Contains(textApplications, base) {
		return true
	}
	return strings.HasSuffix(base, "+xml") || strings.HasSuffix(base, "+json") || strings.HasSuffix(base, "+yaml")
}

// textApplications are types of texts that have no other sign of it.
var textApplications = []string{
	"application/ecmascript", "application/graphql", "application/javascript", "application/json", "application/jsonl",
	"application/sql", "application/toml", "application/typescript", "application/x-httpd-php", "application/x-ndjson",
	"application/vnd.adobe.xfdf", "application/warc", "application/x-amf", "application/x-javascript",
	"application/x-sh", "application/x-subrip", "application/x-tex", "application/x-yaml", "application/xml", "application/yaml",
	"message/rfc822",
}

// isBinary reports whether a type that IsText denies can't be text: the type has a
// signature, or is of pictures, sound or the like. Other types may be either.
func isBinary(base string) bool { return isMedia(base) || mimetype.Lookup(base) != nil }

func isMedia(base string) bool {
	major, _, _ := strings.Cut(base, "/")
	return slices.Contains([]string{"image", "audio", "video", "font"}, major)
}

// IsContainer reports whether many other formats are files of this type.
func IsContainer(base string) bool {
	return base == zipType || base == "application/x-ole-storage"
}

// isSameMedia reports whether the types differ in audio and video only: a file of the
// video format WebM may have sound alone.
func isSameMedia(a, b string) bool {
	majorA, minorA, _ := strings.Cut(a, "/")
	majorB, minorB, _ := strings.Cut(b, "/")
	timed := []string{"audio", "video"}
	return minorA == minorB && slices.Contains(timed, majorA) && slices.Contains(timed, majorB)
}

// descends reports whether a format is of a type, or an ancestor of it is.
func descends(format *mimetype.MIME, base string) bool {
	for ; format != nil; format = format.Parent() {
		if format.Is(base) {
			return true
		}
	}
	return false
}

// baseType returns a media type without its parameters.
func baseType(mediaType string) string {
	base, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(base))
}

// sniffed is the part of a body that decides its media type.
type sniffed struct {
	format *mimetype.MIME // of the first DetectLen bytes
	utf8   bool           // the whole body is UTF-8
}

func sniff(body []byte) sniffed {
	return sniffed{format: mimetype.Detect(body[:min(len(body), DetectLen)]), utf8: utf8.Valid(body)}
}

// DetectMediaType returns the media type, without a charset, that a blob with this beginning
// gets if it is uploaded with this name and declared type. The beginning should have
// DetectLen bytes, or all.
func DetectMediaType(head []byte, declared, name string) string {
	return baseType(sniff(head).mediaType(NormalMediaType(declared), name))
}

// mediaType returns the media type of a body with this name that was declared as this
// type. Either may be empty. The bytes decide: the declaration counts only if the bytes
// can have it.
func (s sniffed) mediaType(declared, name string) string {
	return s.trueCharset(RefineMediaType(s.bytesType(name), declared))
}

// bytesType returns what the bytes say. Which kind of text they are is a guess, so the
// extension of the name decides that, if it is a known one: README.md may begin with
// HTML. A charset is given only if it is certain.
func (s sniffed) bytesType(name string) string {
	if !descends(s.format, textPlain) {
		return s.format.String()
	}
	base, parameters, _ := mime.ParseMediaType(s.format.String())
	if named := textTypes[strings.ToLower(path.Ext(name))]; named != "" {
		base = named
	}
	switch charset := parameters["charset"]; {
	case !strings.HasPrefix(base, "text/"):
		return base
	case s.utf8:
		return base + "; charset=utf-8"
	case strings.HasPrefix(charset, "utf-16"), strings.HasPrefix(charset, "utf-32"): // by a byte order mark
		return base + "; charset=" + charset
	default:
		return base
	}
}

// trueCharset removes charset=utf-8 from the type of bytes that are not UTF-8.
func (s sniffed) trueCharset(mediaType string) string {
	base, parameters, err := mime.ParseMediaType(mediaType)
	if err != nil || s.utf8 || !strings.EqualFold(parameters["charset"], "utf-8") {
		return mediaType
	}
	delete(parameters, "charset")
	return mime.FormatMediaType(base, parameters)
}

// correct returns the media type of an existing blob after an upload of the same bytes,
// which has mediaType next. The current type stays unless the bytes contradict it, or
// it is general and next is more specific.
func (s sniffed) correct(current, next string) string {
	if next == current {
		return current
	}
	alone := s.mediaType("", "")
	normal, known, better := NormalMediaType(current), baseType(current), baseType(next)
	isGeneral := known == textPlain || known == baseType(alone) || IsContainer(known)
	switch {
	case current == alone && better == known:
		return current
	case normal == "", s.trueCharset(RefineMediaType(alone, normal)) != normal:
		return next
	case current == s.format.String() && better == known: // with a guessed charset
		return next
	case isGeneral && better != known && better != baseType(alone):
		return next
	}
	return current
}

// sniffer sniffs the bytes that are written to it.
type sniffer struct {
	head    []byte
	partial []byte // the bytes of a character that has not ended
	invalid bool   // the bytes are not UTF-8
}

// Write implements io.Writer. It never fails.
func (s *sniffer) Write(p []byte) (int, error) {
	if missing := DetectLen - len(s.head); missing > 0 {
		s.head = append(s.head, p[:min(len(p), missing)]...)
	}
	if !s.invalid {
		s.validate(p)
	}
	return len(p), nil
}

// validate checks the next bytes, and keeps those of a character that has not ended.
func (s *sniffer) validate(p []byte) {
	for len(s.partial) > 0 && len(p) > 0 {
		s.partial, p = append(s.partial, p[0]), p[1:]
		if utf8.FullRune(s.partial) {
			s.invalid = s.invalid || !utf8.Valid(s.partial)
			s.partial = s.partial[:0]
		}
	}
	whole := len(p)
	for i := len(p) - 1; i >= 0 && i > len(p)-utf8.UTFMax; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				whole = i
			}
			break
		}
	}
	s.invalid = s.invalid || !utf8.Valid(p[:whole])
	s.partial = append(s.partial, p[whole:]...)
}

func (s *sniffer) sniffed() sniffed {
	return sniffed{format: mimetype.Detect(s.head), utf8: !s.invalid && len(s.partial) == 0}
}

// textTypes are the media types of texts by the extension of their name. Source code
// has few registered types, so most of it is plain text. (The table of the package mime
// depends on the machine.)
var textTypes = map[string]string{
	".csv": "text/csv", ".tsv": "text/tab-separated-values",
	".htm": "text/html", ".html": "text/html", ".xhtml": "application/xhtml+xml",
	".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript", ".cjs": "text/javascript",
	".json": "application/json", ".jsonl": "application/jsonl", ".ndjson": "application/x-ndjson",
	".geojson": "application/geo+json", ".ipynb": "application/x-ipynb+json",
	".markdown": "text/markdown", ".md": "text/markdown",
	".svg": "image/svg+xml", ".xml": "text/xml",
	".yaml": "application/yaml", ".yml": "application/yaml", ".toml": "application/toml", ".sql": "application/sql",
	".ics": "text/calendar", ".vcf": "text/vcard", ".vtt": "text/vtt", ".srt": "application/x-subrip", ".eml": "message/rfc822",
	".adoc": textPlain, ".asm": textPlain, ".bat": textPlain, ".c": textPlain, ".cc": textPlain, ".cfg": textPlain,
	".conf": textPlain, ".cpp": textPlain, ".cs": textPlain, ".diff": textPlain, ".env": textPlain, ".go": textPlain,
	".gradle": textPlain, ".h": textPlain, ".hpp": textPlain, ".ini": textPlain, ".java": textPlain, ".jsx": textPlain,
	".kt": textPlain, ".log": textPlain, ".lua": textPlain, ".m": textPlain, ".patch": textPlain, ".php": textPlain,
	".pl": textPlain, ".properties": textPlain, ".proto": textPlain, ".ps1": textPlain, ".py": textPlain, ".r": textPlain,
	".rb": textPlain, ".rs": textPlain, ".rst": textPlain, ".scala": textPlain, ".sh": textPlain, ".swift": textPlain,
	".tex": textPlain, ".text": textPlain, ".ts": textPlain, ".tsx": textPlain, ".txt": textPlain, ".vue": textPlain,
}
