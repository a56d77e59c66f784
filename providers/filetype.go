package providers

import (
	"mime"
	"path"
	"slices"
	"strings"

	"casgate/cas"
)

// UnknownType is the media type of bytes of an unknown format.
const UnknownType = cas.DefaultMediaType

// FileType is what is known about the type of a file. It decides the purpose of its
// copies, the extension of their remote names, and the kinds of references.
type FileType struct {
	// MediaType is the best known media type, perhaps with parameters. UnknownType if
	// there is none.
	MediaType string
	// Extension is the extension of the file's name, lower-case with its dot. It is empty
	// if the name has none that can tell a type: the end of "Report v1.2" is not one. If
	// the bytes are certainly of another format than the name says, it is that format's.
	Extension string
}

// TypeOf returns the type of a file with this name and the media type that its owner
// declared, which may both be empty. Detected is the media type of the bytes.
//
// The bytes decide: the declared type and the name's extension count only if the bytes
// can have them, see cas.CanBe and rightExtension. Among the formats of text the extension knows more than
// the declared type, and a type that is no text says nothing to a provider.
func TypeOf(name, declared, detected string) FileType {
	bytesType := BaseType(detected)
	t := FileType{MediaType: UnknownType, Extension: rightExtension(nameExtension(name), bytesType)}
	candidates := []string{declared, extensionTypes[t.Extension], detected}
	if BaseType(declared) == bytesType && cas.IsContainer(bytesType) {
		candidates[0] = "" // the declaration only repeats the bytes, and the name knows more
	}
	if cas.IsText(bytesType) {
		candidates[0], candidates[1] = candidates[1], candidates[0]
		candidates = slices.DeleteFunc(candidates, func(c string) bool { return !IsText(c) })
	}
	for _, c := range candidates {
		base := BaseType(c)
		if base == "" || !cas.CanBe(bytesType, base) {
			continue
		}
		switch base { // take the one with a charset
		case bytesType:
			c = detected
		case BaseType(declared):
			c = declared
		}
		t.MediaType = c
		if withoutParameters(c) != base || c != detected && !isWellFormed(c) {
			t.MediaType = base // in its usual spelling
		}
		break
	}
	return t
}

// rightExtension returns the usual extension of the bytes' type if a name's extension is
// that of another format, which the bytes certainly don't have: a PDF whose name is
// report.jpg gets .pdf. Otherwise it returns the name's extension. The name knows more
// among text formats, among container formats, and among those of audio and video.
func rightExtension(named, bytesType string) string {
	known := extensionTypes[named]
	switch {
	case known == "", known == bytesType, !slices.Contains(certainTypes, bytesType):
	case slices.Contains(containerTypes, known) && slices.Contains(containerTypes, bytesType):
	case isTimed(known) && isTimed(bytesType):
	default:
		return usualExtensions[bytesType]
	}
	return named
}

// certainTypes are the media types of which the first bytes leave no doubt. ZIP and OLE
// are not among them: many formats have these bytes.
var certainTypes = []string{
	"application/pdf", "image/jpeg", "image/png", "image/gif", "image/webp", "image/tiff", "image/heic", "image/bmp",
	"video/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/x-msvideo", "audio/wav", mediaDocx, mediaXlsx, mediaPptx, mediaEpub,
}

// containerTypes are the media types of ZIP and OLE files.
var containerTypes = []string{
	"application/zip", mediaDocx, mediaXlsx, mediaPptx, mediaEpub, "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
}

const (
	mediaDocx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	mediaXlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	mediaPptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
	mediaEpub = "application/epub+zip"
)

// isTimed reports whether a media type is of audio or video.
func isTimed(base string) bool {
	return strings.HasPrefix(base, "audio/") || strings.HasPrefix(base, "video/")
}

// BaseType returns a media type in its usual spelling, without parameters. It is empty
// for a type that says nothing, such as image/*, and for text that is no media type.
func BaseType(mediaType string) string {
	base := withoutParameters(mediaType)
	major, minor, _ := strings.Cut(base, "/")
	if !isToken(major) || !isToken(minor) || cas.SaysNothing(base) {
		return ""
	}
	return cas.UsualType(base)
}

// withoutParameters returns the type and subtype of a media type, in lower case. Unlike
// mime.ParseMediaType it makes no map, since it runs several times for each request for
// a copy.
func withoutParameters(mediaType string) string {
	base, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(base))
}

// isWellFormed reports whether the parameters of a media type can be read.
func isWellFormed(mediaType string) bool {
	_, _, err := mime.ParseMediaType(mediaType)
	return err == nil
}

// isToken reports whether s can be a part of a media type (RFC 9110, section 5.6.2). An
// asterisk, which stands for any type, can't.
func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'+-.^_`|~", r)
	}) < 0
}

// IsText reports whether files of a media type are text, in whatever notation.
func IsText(mediaType string) bool { return cas.IsText(BaseType(mediaType)) }

// ListsType reports whether a list has a media type: by itself, or by a wildcard such as
// image/*. A wildcard for pictures doesn't mean SVG, which is text.
func ListsType(list []string, mediaType string) bool {
	base := BaseType(mediaType)
	if slices.Contains(list, base) {
		return base != ""
	}
	major, _, _ := strings.Cut(base, "/")
	return base != "" && slices.Contains(list, major+"/*") && (major != "image" || !cas.IsText(base))
}

// IsText reports whether the file is text.
func (t FileType) IsText() bool { return IsText(t.MediaType) }

// ExtensionOf returns the extension of the remote name of a file of this type. It is
// the name's own one if the purpose takes it. Otherwise it is the usual one of the
// media type. For text it is .txt if the type has no usual one, or the purpose doesn't
// take that one. Ok is false if the purpose
// takes none of them; the extension is then the one to name to the client.
func (p Purpose) ExtensionOf(t FileType) (extension string, ok bool) {
	usual := usualExtensions[BaseType(t.MediaType)]
	if usual == "" && t.IsText() {
		usual = ".txt"
	}
	known := extensionTypes[t.Extension]
	if len(p.Extensions) == 0 {
		if t.Extension != "" && (known != "" || usual == "" || t.IsText()) {
			return t.Extension, true
		}
		return usual, true
	}
	if slices.Contains(p.Extensions, t.Extension) {
		return t.Extension, true
	}
	if t.IsText() && known != "" && !IsText(known) {
		return t.Extension, false // text with the name of another format, such as x.exe
	}
	if slices.Contains(p.Extensions, usual) && known != BaseType(t.MediaType) {
		return usual, true
	}
	// The list of a provider that reads text can't name all notations of text.
	if t.IsText() && slices.Contains(p.Extensions, ".txt") {
		return ".txt", true
	}
	if t.Extension == "" {
		return usual, false
	}
	return t.Extension, false
}

// nameExtension returns the extension of a name, lower-case with its dot, in its usual
// spelling. It is empty if there is none that can tell a type.
func nameExtension(name string) string {
	name = CleanName(name)
	ext := strings.ToLower(path.Ext(name))
	for slices.Contains(unfinishedExtensions, ext) { // report.pdf.crdownload
		name = name[:len(name)-len(ext)]
		ext = strings.ToLower(path.Ext(name))
	}
	if usual := spellings[ext]; usual != "" {
		return usual
	}
	if extensionTypes[ext] != "" {
		return ext
	}
	if len(ext) < 2 || len(ext) > 16 || ext[1] < 'a' || ext[1] > 'z' {
		return ""
	}
	if strings.IndexFunc(ext[1:], func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '_' && r != '+' }) >= 0 {
		return ""
	}
	return ext
}

// Extension returns the extension of a name, lower-case with its dot, in its usual
// spelling; else the usual one of the media type; else nothing.
func Extension(name, mediaType string) string {
	if ext := nameExtension(name); ext != "" {
		return ext
	}
	return usualExtensions[BaseType(mediaType)]
}

// unfinishedExtensions are those that browsers add to the name of an unfinished
// download, and that stay there after some of them.
var unfinishedExtensions = []string{".crdownload", ".part", ".partial", ".download"}

// spellings are the usual spellings of extensions of the same format.
var spellings = map[string]string{
	".jfif": ".jpg", ".jpe": ".jpg", ".pjpeg": ".jpg", ".pjp": ".jpg", ".htm": ".html", ".tif": ".tiff", ".m4v": ".mp4", ".qt": ".mov",
}

// usualExtensions are those of media types that providers take. Go's own table
// depends on the machine, and lists several for a type in no useful order.
var usualExtensions = map[string]string{
	mediaEpub:                        ".epub",
	"application/json":               ".json",
	"application/jsonl":              ".jsonl",
	"application/x-ndjson":           ".jsonl",
	"application/msword":             ".doc",
	"application/pdf":                ".pdf",
	"application/rtf":                ".rtf",
	"application/vnd.ms-excel":       ".xls",
	"application/vnd.ms-powerpoint":  ".ppt",
	"application/x-mobipocket-ebook": ".mobi",
	"application/xml":                ".xml",
	"application/yaml":               ".yaml",
	"audio/mpeg":                     ".mp3",
	"audio/wav":                      ".wav",
	"image/bmp":                      ".bmp",
	"image/gif":                      ".gif",
	"image/heic":                     ".heic",
	"image/jpeg":                     ".jpg",
	"image/png":                      ".png",
	"image/svg+xml":                  ".svg",
	"image/tiff":                     ".tiff",
	"image/webp":                     ".webp",
	"text/css":                       ".css",
	"text/csv":                       ".csv",
	"text/html":                      ".html",
	"text/javascript":                ".js",
	"text/markdown":                  ".md",
	"text/plain":                     ".txt",
	"text/rtf":                       ".rtf",
	"text/tab-separated-values":      ".tsv",
	"text/xml":                       ".xml",
	"video/3gpp":                     ".3gp",
	"video/mp4":                      ".mp4",
	"video/mpeg":                     ".mpeg",
	"video/quicktime":                ".mov",
	"video/webm":                     ".webm",
	"video/x-flv":                    ".flv",
	"video/x-matroska":               ".mkv",
	"video/x-ms-wmv":                 ".wmv",
	"video/x-msvideo":                ".avi",
	mediaDocx:                        ".docx", mediaXlsx: ".xlsx", mediaPptx: ".pptx",
}

// extensionTypes are the media types of extensions. Source code is text/plain.
var extensionTypes = makeExtensionTypes()

func makeExtensionTypes() map[string]string {
	types := map[string]string{
		".jpeg": "image/jpeg", ".heif": "image/heif", ".mpg": "video/mpeg", ".3gpp": "video/3gpp", ".yml": "application/yaml", ".markdown": "text/markdown",
		".ipynb": "application/json", ".ogg": "audio/ogg", ".flac": "audio/flac", ".aac": "audio/aac", ".m4a": "audio/mp4",
		".exe": "application/vnd.microsoft.portable-executable", ".dll": "application/vnd.microsoft.portable-executable",
		".zip": "application/zip", ".gz": "application/gzip", ".7z": "application/x-7z-compressed", ".tar": "application/x-tar", ".rar": "application/vnd.rar",
		".dot": "application/msword",
	}
	for mediaType, ext := range usualExtensions {
		types[ext] = mediaType
	}
	// Two media types have each of these extensions.
	types[".jsonl"], types[".xml"], types[".rtf"] = "application/jsonl", "application/xml", "application/rtf"
	for _, ext := range strings.Fields(`.asp .bash .bat .c .cc .cfg .conf .cpp .cs .cxx .dart .diff .env .gitignore .go .gradle .graphql .h .hpp .ini .java .jsp .jsx .kt .log
		.lua .patch .php .pl .proto .ps1 .py .py3 .r .rb .rs .rst .scala .scss .sh .sql .srt .svelte .swift .tex .toml .ts .tsx .vue .zig`) {
		types[ext] = "text/plain"
	}
	return types
}
