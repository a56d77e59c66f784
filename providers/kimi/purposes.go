package kimi

import (
	"slices"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The purposes of uploads [D].
const (
	purposeExtract = "file-extract"
	purposeImage   = "image"
	purposeVideo   = "video"
	purposeBatch   = "batch"
)

const (
	mb  = 1000 * 1000
	mib = 1 << 20
	// maxSize is the maximum size of a file: "100 MB" [D], which may be decimal or binary.
	// The larger reading refuses no file that Kimi accepts.
	maxSize = 100 * mib
	// A user's files are limited to 1000 files and 10 GB [D], and to 1000 files for
	// batches [D]. Here the smaller reading of GB is safe: the gateway makes room a
	// little early.
	maxFiles   = 1000
	maxBytes   = 10_000 * mb
	maxBatches = 1000
	// concurrency is our choice. Kimi's limit depends on the tier (from 1 to several
	// hundred [3P]). It is not documented whether file calls count. Kimi answers 429 when
	// a limit is reached.
	concurrency = 8
)

// purposes returns the purposes with the extensions of the documentation [D]. The
// extension selects Kimi's parser [M]. The list of file-extract is open: it ends with
// "and more" [D]. Assumed: all text and source code is read as .txt. file-extract has no images: Kimi no longer
// reads them there since August 2026 [3P].
func purposes() []providers.Purpose {
	return []providers.Purpose{
		{
			Name:    purposeExtract,
			MaxSize: maxSize,
			Extensions: []string{
				".pdf", ".txt", ".csv", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".md", ".dot",
				".epub", ".html", ".json", ".mobi", ".log",
				".go", ".h", ".c", ".cpp", ".cxx", ".cc", ".cs", ".java", ".js", ".css", ".jsp", ".php",
				".py", ".py3", ".asp", ".yaml", ".yml", ".ini", ".conf", ".ts", ".tsx",
			},
		},
		{
			Name: purposeImage, MaxSize: maxSize, MediaTypes: []string{"image/*"},
			Extensions: []string{".png", ".jpg", ".jpeg", ".webp", ".gif"},
		},
		{
			Name: purposeVideo, MaxSize: maxSize, MediaTypes: []string{"video/*"},
			Extensions: []string{".mp4", ".mpeg", ".mov", ".avi", ".flv", ".mpg", ".webm", ".wmv", ".3gp", ".3gpp"},
		},
		{
			Name: purposeBatch, MaxSize: maxSize, MaxFiles: maxBatches, SpareSeconds: providers.BatchSpare,
			Rewritten:  true, // "server-normalised" [3P]
			MediaTypes: []string{"application/jsonl", "application/x-ndjson"},
			Extensions: []string{".jsonl"},
		},
	}
}

// The kinds of references.
var (
	imageURL = providers.ReferenceKind{Name: "image_url", Needs: providers.NeedCopy, Purpose: purposeImage, Place: providers.PlacePart, Request: providers.RequestChat}
	videoURL = providers.ReferenceKind{Name: "video_url", Needs: providers.NeedCopy, Purpose: purposeVideo, Place: providers.PlacePart, Request: providers.RequestChat}
	text     = providers.ReferenceKind{Name: "text", Needs: providers.NeedText, Purpose: purposeExtract, Place: providers.PlaceMessage, Request: providers.RequestChat}
	inPlace  = providers.ReferenceKind{Name: "text_part", Needs: providers.NeedText, Purpose: purposeExtract, Place: providers.PlacePart, Request: providers.RequestChat}
	batch    = providers.ReferenceKind{Name: "input_file_id", Needs: providers.NeedCopy, Purpose: purposeBatch, Place: providers.PlaceValue, Request: providers.RequestBatches, Field: "input_file_id"}
)

// kindsOf has the kinds of references for each purpose.
var kindsOf = map[string][]providers.ReferenceKind{purposeExtract: {text, inPlace}, purposeImage: {imageURL}, purposeVideo: {videoURL}, purposeBatch: {batch}}

// References implements providers.Provider. Only the extension counts, as at Kimi. A
// text of another purpose, such as the input of a batch, can be read as text, too.
func (p *Provider) References(mediaType, extension string) []providers.ReferenceKind {
	t := providers.FileType{MediaType: mediaType, Extension: extension}
	description := p.Describe()
	var kinds []providers.ReferenceKind
	add := func(purpose *providers.Purpose) {
		if of := kindsOf[purpose.Name]; !slices.Contains(kinds, of[0]) {
			if _, ok := purpose.ExtensionOf(t); ok {
				kinds = append(kinds, of...)
			}
		}
	}
	usual := description.DefaultPurpose(mediaType, extension)
	add(&usual)
	for i := range description.Purposes {
		add(&description.Purposes[i])
	}
	return kinds
}

// Reference implements providers.Provider. Images and videos are referenced by id [D,
// seen live for images]. A document can't be referenced: its text goes into a message
// of its own [D], or into a part of the message that names it.
func (p *Provider) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	if err := p.CheckMaterial(kind, m); err != nil {
		return nil, err
	}
	type address struct {
		URL string `json:"url"`
	}
	switch kind {
	case imageURL:
		return openaicompat.JSON(struct {
			Type string  `json:"type"`
			At   address `json:"image_url"`
		}{"image_url", address{"ms://" + m.FileID}})
	case videoURL:
		return openaicompat.JSON(struct {
			Type string  `json:"type"`
			At   address `json:"video_url"`
		}{"video_url", address{"ms://" + m.FileID}})
	case text:
		return openaicompat.JSON(struct {
			Role    string `json:"role"`
			Content string `json:"content"`
		}{"system", m.Text})
	case inPlace:
		return textPart(m)
	case batch:
		return openaicompat.JSON(m.FileID)
	}
	return nil, p.NoReference(kind)
}
