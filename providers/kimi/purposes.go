package kimi

import (
	"slices"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The purposes that files can be uploaded for [D].
const (
	purposeExtract = "file-extract"
	purposeImage   = "image"
	purposeVideo   = "video"
	purposeBatch   = "batch"
)

const (
	mb  = 1000 * 1000
	mib = 1 << 20
	// maxSize bounds every file: "100 MB" [D]. Whether these are decimal or binary is
	// not said. The larger reading refuses nothing that Kimi would take; of a file
	// between the two Kimi itself has the last word.
	maxSize = 100 * mib
	// An account, or rather its user, keeps 1000 files and 10 GB [D], and of these 1000
	// files for batches [D]. Here the smaller reading is right under both: room is made
	// a little early.
	maxFiles   = 1000
	maxBytes   = 10_000 * mb
	maxBatches = 1000
	// concurrency is ours. Kimi's depends on what was paid (from 1 to several hundred
	// [3P]), and whether calls for files count is not documented; a limit that is
	// reached says so in its answers.
	concurrency = 8
)

// purposes lists what files are stored for, with the extensions that the
// documentation lists [D]. The parser follows the name's extension [M]. Images are
// not listed under file-extract, as they once were: since August 2026 they are no
// longer read there [3P].
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
			Name: purposeBatch, MaxSize: maxSize, MaxFiles: maxBatches,
			Rewritten:  true, // "server-normalised" [3P]
			MediaTypes: []string{"application/jsonl", "application/x-ndjson"},
			Extensions: []string{".jsonl"},
		},
	}
}

// The kinds of references.
var (
	imageURL = providers.ReferenceKind{Name: "image_url", Needs: providers.NeedCopy, Purpose: purposeImage, Where: "an element of a user message's content"}
	videoURL = providers.ReferenceKind{Name: "video_url", Needs: providers.NeedCopy, Purpose: purposeVideo, Where: "an element of a user message's content"}
	text     = providers.ReferenceKind{Name: "text", Needs: providers.NeedText, Purpose: purposeExtract, Where: "an element of messages, before the user's"}
	batch    = providers.ReferenceKind{Name: "input_file_id", Needs: providers.NeedCopy, Purpose: purposeBatch, Where: "the value of input_file_id in POST /batches"}
)

// References implements providers.Provider. The extension decides alone, as it does
// at Kimi: each is one purpose's.
func (p *Provider) References(mediaType, extension string) []providers.ReferenceKind {
	if extension == "" {
		extension = providers.Extension("", mediaType)
	}
	of := map[string]providers.ReferenceKind{purposeExtract: text, purposeImage: imageURL, purposeVideo: videoURL, purposeBatch: batch}
	for _, purpose := range p.Describe().Purposes {
		if slices.Contains(purpose.Extensions, extension) {
			return []providers.ReferenceKind{of[purpose.Name]}
		}
	}
	return nil
}

// Reference implements providers.Provider. Images and videos are named by their ids
// [D, seen live for images]; a document can't be named at all, and its text goes
// into a message of its own [D].
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
	case batch:
		return openaicompat.JSON(m.FileID)
	}
	return nil, p.NoReference(kind)
}
