package gemini

import (
	"slices"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// fileData is the usual reference. Interactions have a part for each sort of file [D].
var fileData = reference("file_data", "models/…:generateContent")

const inInteractions = "interactions.create"

// interactionParts are the parts of interactions, by the first half of the media type.
var interactionParts = map[string]providers.ReferenceKind{
	"image": reference("image", inInteractions), "audio": reference("audio", inInteractions), "video": reference("video", inInteractions),
	"document": reference("document", inInteractions),
}

func reference(name, request string) providers.ReferenceKind {
	return providers.ReferenceKind{Name: name, Needs: providers.NeedCopy, Purpose: general, Place: providers.PlacePart, Request: request}
}

const (
	pdf       = "application/pdf"
	plainText = "text/plain"
	unknown   = "application/octet-stream"
)

// textTypes are the media types of text that Gemini documents beside text/plain [D].
var textTypes = []string{"text/html", "text/css", "text/csv", "text/xml", "text/rtf", "text/markdown"}

// extensionTypes are the media types of files whose own type is not known.
var extensionTypes = map[string]string{
	".pdf": pdf, ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".jfif": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".heic": "image/heic",
	".heif": "image/heif", ".gif": "image/gif", ".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mpeg": "video/mpeg", ".mpg": "video/mpeg",
	".avi": "video/x-msvideo", ".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".flac": "audio/flac", ".aac": "audio/aac", ".txt": plainText,
}

// storedType returns the media type under which a file is stored at Gemini, and which its
// references repeat. Text in a notation that Gemini doesn't document is plain text.
func storedType(mediaType, extension string) string {
	base := providers.BaseType(mediaType)
	switch {
	case base == "":
		if known := extensionTypes[extension]; known != "" {
			return known
		}
		return unknown
	case slices.Contains(textTypes, base):
		return base
	case providers.IsText(base):
		return plainText
	}
	return base
}

// References implements providers.Provider. A file of unknown type has none: each
// reference needs the media type.
func (p *Provider) References(mediaType, extension string) []providers.ReferenceKind {
	stored := storedType(mediaType, extension)
	major, _, _ := strings.Cut(stored, "/")
	part, found := interactionParts[major]
	if stored == pdf || major == "text" {
		part, found = interactionParts["document"], true
	}
	switch {
	case found:
		return []providers.ReferenceKind{fileData, part}
	case stored == unknown:
		return nil
	}
	return []providers.ReferenceKind{fileData}
}

// Reference implements providers.Provider.
func (p *Provider) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	if err := p.client.CheckMaterial(kind, m); err != nil {
		return nil, err
	}
	mediaType := storedType(m.MediaType, providers.Extension(m.Name, ""))
	if kind == fileData {
		type data struct {
			MIMEType string `json:"mimeType"`
			FileURI  string `json:"fileUri"`
		}
		return openaicompat.JSON(map[string]data{"fileData": {mediaType, fileURI(m.FileID)}})
	}
	for _, part := range interactionParts {
		if kind == part {
			return openaicompat.JSON(struct {
				Type     string `json:"type"`
				URI      string `json:"uri"`
				MIMEType string `json:"mime_type"`
			}{kind.Name, fileURI(m.FileID), mediaType})
		}
	}
	return nil, p.client.NoReference(kind)
}

// fileURI returns the URI of a file. Assumed: it is always the file's URL at the usual
// host, as in all published replies, also where the base URL is a proxy.
func fileURI(id string) string { return BaseURL + "/files/" + id }
