package glm

import (
	"encoding/base64"
	"fmt"
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
			Name: purposeBatch, MaxSize: 100 * mib, MaxFiles: 1000, SpareSeconds: providers.BatchSpare, Extensions: []string{".jsonl"},
			MediaTypes: []string{"application/jsonl", "application/x-ndjson"},
		},
		// No size is stated. Uploads can have this purpose, but lists can't.
		{Name: purposeVoice, Extensions: []string{".mp3", ".wav"}, MediaTypes: []string{"audio/*"}, Unlisted: true},
	}
}

// Limits of files that vision models read at a URL [D].
const (
	maxImage = 5 * mib
	maxVideo = 200 * mib
	maxSide  = 6000 // pixels
)

const vision = "for vision models"

// urlKind is a kind of reference by URL, or with the bytes in place of the URL: vision
// models take no ids [D].
type urlKind struct {
	providers.ReferenceKind
	part string // the type of the part
	flat bool   // the URL is the part's value itself, as agents want it [D]
	// extensions are those of the files it is for; of texts, all.
	extensions []string
}

// urlKinds are the references by URL [D]: images to 5 MB and 6000 × 6000 pixels, videos
// to 200 MB, and documents. The list of documents is open ("pdf, txt, word, jsonl, xlsx,
// pptx …"); assumed: csv, and text in other notations. For agents only the forms of
// images and files are documented.
var urlKinds = makeURLKinds()

func makeURLKinds() []urlKind {
	images := []string{".jpg", ".jpeg", ".png"}
	documents := []string{".pdf", ".txt", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".jsonl"}
	var kinds []urlKind
	for _, k := range []struct {
		name, part string
		needs      providers.Need
		request    string
		note       string
		maxSize    int64
		maxSide    int
		extensions []string
	}{
		{"image_url", "image_url", providers.NeedURL, providers.RequestChat, vision + "; at most 6000 × 6000 pixels", maxImage, maxSide, images},
		// Plain base64 stands in place of the URL [3P]; a data: URL is refused.
		{"image_base64", "image_url", providers.NeedBytes, providers.RequestChat, vision + "; at most 6000 × 6000 pixels", maxImage, maxSide, images},
		{"video_url", "video_url", providers.NeedURL, providers.RequestChat, vision, maxVideo, 0, []string{".mp4", ".mkv", ".mov"}},
		{"file_url", "file_url", providers.NeedURL, providers.RequestChat, vision, 0, 0, documents},
		{"agent_image_url", "image_url", providers.NeedURL, requestAgents, "", maxImage, maxSide, images},
		{"agent_file_url", "file_url", providers.NeedURL, requestAgents, "", 0, 0, documents},
	} {
		kinds = append(kinds, urlKind{providers.ReferenceKind{
			Name: k.name, Needs: k.needs, Place: providers.PlacePart, Request: k.request, Note: k.note, MaxSize: k.maxSize, MaxSide: k.maxSide,
		}, k.part, k.request == requestAgents, k.extensions})
	}
	return kinds
}

// takes reports whether the reference is for files of a type. The extension that counts
// is the one a copy would get, since the provider sees only the bytes.
func (k urlKind) takes(t providers.FileType) bool {
	_, ok := providers.Purpose{Extensions: k.extensions}.ExtensionOf(t)
	return ok
}

func (k urlKind) build(address string) ([]byte, error) {
	if k.flat {
		url, err := openaicompat.JSON(address)
		return fmt.Appendf(nil, `{"type":%q,%q:%s}`, k.part, k.part, url), err
	}
	type at struct {
		URL string `json:"url"`
	}
	url, err := openaicompat.JSON(at{address})
	// type comes first, as in the documentation.
	return fmt.Appendf(nil, `{"type":%q,%q:%s}`, k.part, k.part, url), err
}

const requestAgents = "POST /agents"

// byID are the kinds of references to a copy, by purpose.
var byID = map[string]providers.ReferenceKind{
	purposeAgent: {Name: "file_id", Needs: providers.NeedCopy, Purpose: purposeAgent, Place: providers.PlacePart, Request: requestAgents},
	purposeCode:  {Name: "code_interpreter", Needs: providers.NeedCopy, Purpose: purposeCode, Place: providers.PlaceValue, Field: "a file id of the code interpreter"},
	purposeBatch: {Name: "input_file_id", Needs: providers.NeedCopy, Purpose: purposeBatch, Place: providers.PlaceValue, Request: providers.RequestBatches, Field: "input_file_id"},
	purposeVoice: {Name: "voice_file_id", Needs: providers.NeedCopy, Purpose: purposeVoice, Place: providers.PlaceValue, Request: "POST /voice/clone", Field: "file_id"},
}

// References implements providers.Provider. The usual one comes first: the input of a
// batch for jsonl, and else the part for vision models.
func (p *Provider) References(mediaType, extension string) []providers.ReferenceKind {
	t := providers.FileType{MediaType: mediaType, Extension: extension}
	var byURL, flat, copies []providers.ReferenceKind
	for _, k := range urlKinds {
		switch {
		case !k.takes(t):
		case k.flat:
			flat = append(flat, k.ReferenceKind)
		default:
			byURL = append(byURL, k.ReferenceKind)
		}
	}
	usual := p.Describe().DefaultPurpose(mediaType, extension)
	for _, purpose := range p.Describe().Purposes {
		if _, ok := purpose.ExtensionOf(t); !ok {
			continue
		}
		if purpose.Name == purposeBatch && usual.Name == purposeBatch {
			byURL = slices.Insert(byURL, 0, byID[purpose.Name])
			continue
		}
		copies = append(copies, byID[purpose.Name])
	}
	return slices.Concat(byURL, copies, flat)
}

// Reference implements providers.Provider. Only agents take an id as a part of a
// message: {"type":"file_id","file_id":…} [D]. Everywhere else the id is the whole value.
func (p *Provider) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	if err := p.CheckMaterial(kind, m); err != nil {
		return nil, err
	}
	for _, k := range urlKinds {
		if k.ReferenceKind == kind {
			if kind.Needs == providers.NeedBytes {
				return k.build(base64.StdEncoding.EncodeToString(m.Bytes))
			}
			return k.build(m.URL)
		}
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
