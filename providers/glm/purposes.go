package glm

import (
	"slices"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// The purposes of uploads [D]. The purposes file-extract, fine-tune and retrieval of
// older documentation are not offered: the specification of July 2026 no longer has
// them, and retrieval needs more than a file.
const (
	purposeAgent = "agent"
	purposeCode  = "code-interpreter"
	purposeBatch = "batch"
	purposeVoice = "voice-clone-input"
)

const (
	// Sizes are stated in "MB" [D], which may be decimal or binary. The larger reading
	// refuses no file that GLM accepts.
	mib = 1 << 20
	// zaiLifetime is how long Z.ai keeps files for agents, in seconds [D]. BigModel
	// documents no lifetime.
	zaiLifetime = 180 * 24 * 3600
	// concurrency is our choice: only the console shows an account's own limit [D].
	concurrency = 4
	// pageSize is the maximum number of files in a page of the list [D].
	pageSize = 100
)

// purposes returns the purposes with their limits [D]. Assumed: GLM accepts no empty
// files.
func purposes(zai bool) []providers.Purpose {
	if zai {
		return []providers.Purpose{{
			Name: purposeAgent, MaxSize: 100 * mib, MaxFiles: 100, LifetimeSeconds: zaiLifetime,
			Extensions: []string{".pdf", ".doc", ".xlsx", ".ppt", ".txt", ".jpg", ".png"},
		}}
	}
	documents := []string{".pdf", ".docx", ".doc", ".xls", ".xlsx", ".txt", ".png", ".jpg", ".jpeg", ".csv"}
	images := map[string]int64{".png": 5 * mib, ".jpg": 5 * mib, ".jpeg": 5 * mib}
	return []providers.Purpose{
		{Name: purposeAgent, MaxSize: 20 * mib, SizeOf: images, MaxFiles: 1000, Extensions: documents},
		{Name: purposeCode, MaxSize: 20 * mib, SizeOf: images, MaxFiles: 100, Extensions: documents},
		{
			Name: purposeBatch, MaxSize: 100 * mib, MaxFiles: 1000, Extensions: []string{".jsonl"},
			MediaTypes: []string{"application/jsonl", "application/x-ndjson"},
		},
		// No size is stated. Uploads can have this purpose, but lists can't.
		{Name: purposeVoice, Extensions: []string{".mp3", ".wav"}, MediaTypes: []string{"audio/*"}, Unlisted: true},
	}
}

// fileURL is the reference to documents and images for vision models: by URL, never
// by id [D].
var fileURL = providers.ReferenceKind{Name: "file_url", Needs: providers.NeedURL, Where: "an element of a user message's content, for vision models"}

// urlTypes are the media types that vision models read.
var urlTypes = []string{
	"image/*", "text/*", "application/pdf", "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
	"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	"application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

// byID are the kinds of references to a copy, by purpose.
var byID = map[string]providers.ReferenceKind{
	purposeAgent: {Name: "file_id", Needs: providers.NeedCopy, Purpose: purposeAgent, Where: "an element of a message's content in POST /agents"},
	purposeCode:  {Name: "code_interpreter", Needs: providers.NeedCopy, Purpose: purposeCode, Where: "a file id of the code interpreter"},
	purposeBatch: {Name: "input_file_id", Needs: providers.NeedCopy, Purpose: purposeBatch, Where: "the value of input_file_id in POST /batches"},
	purposeVoice: {Name: "voice_file_id", Needs: providers.NeedCopy, Purpose: purposeVoice, Where: "the value of file_id in POST /voice/clone"},
}

// References implements providers.Provider.
func (p *Provider) References(mediaType, extension string) []providers.ReferenceKind {
	var kinds []providers.ReferenceKind
	if extension == "" {
		extension = providers.Extension("", mediaType)
	}
	if openaicompat.MatchesMediaType(urlTypes, mediaType) && extension != ".jsonl" {
		kinds = append(kinds, fileURL)
	}
	for _, purpose := range p.Describe().Purposes {
		if slices.Contains(purpose.Extensions, extension) {
			kinds = append(kinds, byID[purpose.Name])
		}
	}
	return kinds
}

// Reference implements providers.Provider. Only agents take an id as a part of a
// message, of the type file_id [D]. Assumed: the field file_id holds the id there.
// Everywhere else the id is the whole value.
func (p *Provider) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	if err := p.CheckMaterial(kind, m); err != nil {
		return nil, err
	}
	if kind == fileURL {
		type address struct {
			URL string `json:"url"`
		}
		return openaicompat.JSON(struct {
			Type string  `json:"type"`
			At   address `json:"file_url"`
		}{"file_url", address{m.URL}})
	}
	for _, purpose := range p.Describe().Purposes {
		switch {
		case kind != byID[purpose.Name]:
		case purpose.Name == purposeAgent:
			return openaicompat.JSON(struct {
				Type string `json:"type"`
				ID   string `json:"file_id"`
			}{"file_id", m.FileID})
		default:
			return openaicompat.JSON(m.FileID)
		}
	}
	return nil, p.NoReference(kind)
}
