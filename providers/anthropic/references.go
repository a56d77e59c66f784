package anthropic

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The kinds of references: blocks of a message. The file's media type at Anthropic
// decides which ones are true [D].
var (
	document  = block("document", "")
	image     = block("image", "")
	container = block("container_upload", "with the code execution tool")
)

func block(name, note string) providers.ReferenceKind {
	return providers.ReferenceKind{Name: name, Needs: providers.NeedCopy, Purpose: general, Place: providers.PlacePart, Request: "POST /messages", Note: note}
}

const (
	pdf       = "application/pdf"
	plainText = "text/plain"
)

// imageTypes are the media types of image blocks [D].
var imageTypes = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}

// textTypes are the media types of text files, by extension, where it says more than
// text/plain. Except for .txt, Anthropic's documentation names such files as no
// documents: their text is to be sent instead [D].
var textTypes = map[string]string{
	".txt": plainText, ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".md": "text/markdown", ".markdown": "text/markdown",
	".html": "text/html", ".htm": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json",
	".jsonl": "application/jsonl", ".xml": "application/xml", ".yaml": "application/yaml", ".yml": "application/yaml", ".ipynb": "application/json",
}

// binaryTypes are the media types of extensions for files whose own type is not known.
var binaryTypes = map[string]string{
	".pdf": pdf, ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".jfif": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp",
}

// storedType returns the media type under which a file is stored at Anthropic. Copies
// with the same bytes and extension must have the same one, for every uploader. So a
// type that bytes have by themselves decides; then the extension, since a text is
// declared in many ways.
func storedType(mediaType, extension string) string {
	base := providers.BaseType(mediaType)
	if base == pdf || slices.Contains(imageTypes, base) {
		return base
	}
	unknown := base == ""
	switch {
	case (unknown || providers.IsText(base)) && textTypes[extension] != "":
		return textTypes[extension]
	case unknown:
		return cmp.Or(binaryTypes[extension], "application/octet-stream")
	case strings.HasPrefix(base, "text/") && providers.IsText(base):
		return plainText
	}
	return base
}

// extensionOf returns the extension of a remote name.
func extensionOf(name string) string { return strings.ToLower(path.Ext(name)) }

// References implements providers.Provider. PDF and plain text go into document blocks,
// four types of pictures into image blocks, and any file into a container for code
// execution [D].
func (p *Provider) References(mediaType, extension string) []providers.ReferenceKind {
	switch stored := storedType(mediaType, extension); {
	case stored == pdf, stored == plainText:
		return []providers.ReferenceKind{document, container}
	case slices.Contains(imageTypes, stored):
		return []providers.ReferenceKind{image, container}
	}
	return []providers.ReferenceKind{container}
}

// Reference implements providers.Provider.
func (p *Provider) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	if err := p.CheckMaterial(kind, m); err != nil {
		return nil, err
	}
	type source struct {
		Type   string `json:"type"`
		FileID string `json:"file_id"`
	}
	switch kind {
	case document, image:
		return openaicompat.JSON(struct {
			Type   string `json:"type"`
			Source source `json:"source"`
		}{kind.Name, source{"file", m.FileID}})
	case container:
		return openaicompat.JSON(source{kind.Name, m.FileID})
	}
	return nil, p.NoReference(kind)
}
