package openaicompat

import (
	"encoding/json"

	"casgate/providers"
)

// Units of the sizes that providers state. "MB" for a file is read as the larger unit,
// which refuses no file that the provider accepts. For an account it is read as the
// smaller unit, so that the gateway makes room early rather than late.
const (
	mb  = 1000 * 1000
	mib = 1 << 20
	gb  = 1000 * mb
	day = 24 * 3600 // seconds
)

// Presets returns the known providers. [D] marks a fact from the official
// documentation, [C] one from the source of a public SDK, [3P] one from somebody
// else's reading of the documentation. All else is marked as assumed. None was tried
// with the live service.
func Presets() []Config {
	return []Config{openAI(), qwen(), deepSeek(), mistral(), xAI()}
}

func presetNames() []string {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
	}
	return names
}

// Ways to use a file that several providers have.
var (
	fileIDPart   = json.RawMessage(`{"type":"file","file":{"file_id":"{file_id}"}}`)
	inputFileID  = json.RawMessage(`"{file_id}"`)
	batchTypes   = []string{"application/jsonl", "application/x-ndjson"}
	flatPart     = json.RawMessage(`{"type":"file","file_id":"{file_id}"}`)
	inputFile    = json.RawMessage(`{"type":"input_file","file_id":"{file_id}"}`)
	inputImage   = json.RawMessage(`{"type":"input_image","file_id":"{file_id}"}`)
	imageURL     = json.RawMessage(`{"type":"image_url","image_url":{"url":"{url}"}}`)
	imageDataURL = json.RawMessage(`{"type":"image_url","image_url":{"url":"data:{media_type};base64,{base64}"}}`)
	videoURL     = json.RawMessage(`{"type":"video_url","video_url":{"url":"{url}"}}`)
	pictures     = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}
	documentType = []string{
		"application/pdf", "text/*", "application/rtf", "application/epub+zip", "application/x-mobipocket-ebook",
		"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint",
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
		"application/vnd.openxmlformats-officedocument.presentationml.presentation",
		"application/vnd.oasis.opendocument.text",
	}
)

// expiresAfter is how several providers take a lifetime, from one hour to 30 days.
var expiresAfter = &Expiry{
	Fields:     map[string]string{"expires_after[anchor]": "created_at", "expires_after[seconds]": secondsPlaceholder},
	MinSeconds: 3600, MaxSeconds: 30 * day,
}

// openAI: https://platform.openai.com/docs/api-reference/files.
//
//   - Purposes, 512 MB a file, 2.5 TB a project, 1000 uploads a minute, batch files
//     of at most 200 MB that are kept for 30 days [D].
//   - The form may have expires_after; files are kept until deleted without it [D].
//   - Listing with after, limit, order and purpose; has_more is truthful [D][C].
//   - A file's status is deprecated: "uploaded" and "processed" are both usable [D].
//   - Chat Completions take only PDF in the part file; all other documents, and PDF,
//     too, go into input_file in the Responses API [D]. Images go by id into input_image
//     in the Responses API only [C].
//   - Chat Completions take an image as a URL, or as a data: URL, and a PDF in the part
//     file as base64 [D].
//   - Assumed: images are files of the purpose vision there.
func openAI() Config {
	return Config{
		API: API{
			Name: "openai", BaseURL: "https://api.openai.com/v1",
			Inline: []string{"image_url", "file"},
			Purposes: []providers.Purpose{
				{Name: "user_data", MaxSize: 512 * mib},
				{Name: "vision", MaxSize: 512 * mib, MediaTypes: []string{"image/*"}},
				{Name: "batch", MaxSize: 200 * mib, Extensions: []string{".jsonl"}, MediaTypes: batchTypes, SpareSeconds: providers.BatchSpare, LifetimeSeconds: 30 * day},
				{Name: "fine-tune", MaxSize: 512 * mib, Extensions: []string{".jsonl"}},
				{Name: "assistants", MaxSize: 512 * mib},
				{Name: "evals", MaxSize: 512 * mib},
			},
			Limits:  providers.Limits{MaxBytes: 2500 * gb, PerMinute: 1000},
			Expiry:  expiresAfter,
			Listing: PagingAfter, PageSize: 1000,
		},
		Retrieve: true, Download: true,
		References: []Reference{
			{Name: "input_image", Request: providers.RequestResponses, Purpose: "vision", MediaTypes: pictures, JSON: inputImage},
			{Name: "image_url", Request: providers.RequestChat, MediaTypes: pictures, JSON: imageURL},
			{Name: "image_base64", Request: providers.RequestChat, MediaTypes: pictures, JSON: imageDataURL},
			{Name: "input_file_id", Request: providers.RequestBatches, Field: "input_file_id", Purpose: "batch", JSON: inputFileID},
			{Name: "file_id", Request: providers.RequestChat, Note: "PDF only", Purpose: "user_data", MediaTypes: []string{"application/pdf"}, JSON: fileIDPart},
			{Name: "input_file", Request: providers.RequestResponses, Purpose: "user_data", MediaTypes: documentType, JSON: inputFile},
		},
	}
}

// qwen is DashScope's compatible mode:
// https://help.aliyun.com/zh/model-studio/openai-file-interface.
//
//   - The hosts dashscope and dashscope-intl; file-extract up to 150 MB, batch up to
//     500 MB; 10,000 files and 100 GB; no expiry; ids are used as fileid://id in a
//     system message [D], which the qwen-long models take [3P].
//   - The vision models take an image as a URL, or as a data: URL [D].
//   - Assumed: that they take a video as a URL in video_url; that listing pages by after and has_more; that retrieving works; the
//     codes of errors (InvalidApiKey, Throttling…, Arrearage), which are those of
//     DashScope's own API.
func qwen() Config {
	return Config{
		API: API{
			Name: "qwen", BaseURL: "https://dashscope.aliyuncs.com/compatible-mode/v1",
			Purposes: []providers.Purpose{
				{Name: "file-extract", MaxSize: 150 * mib},
				{Name: "batch", MaxSize: 500 * mib, Extensions: []string{".jsonl"}, MediaTypes: batchTypes, SpareSeconds: providers.BatchSpare},
			},
			Limits:  providers.Limits{MaxFiles: 10_000, MaxBytes: 100 * gb},
			Listing: PagingAfter,
		},
		Retrieve: true,
		References: []Reference{
			{Name: "input_file_id", Request: providers.RequestBatches, Field: "input_file_id", Purpose: "batch", JSON: inputFileID},
			{Name: "file_id", Request: providers.RequestChat, Purpose: "file-extract",
				JSON: json.RawMessage(`{"role":"system","content":"fileid://{file_id}"}`)},
			{Name: "image_url", Request: providers.RequestChat, Note: "for vision models", MediaTypes: pictures, JSON: imageURL},
			{Name: "image_base64", Request: providers.RequestChat, Note: "for vision models", MediaTypes: pictures, JSON: imageDataURL},
			{Name: "video_url", Request: providers.RequestChat, Note: "for vision models", MediaTypes: []string{"video/*"}, JSON: videoURL},
		},
	}
}

// deepSeek: https://api-docs.deepseek.com/zh-cn/guides/files_api.md.
//
//   - The purposes with their sizes, the purpose before the file, no status in
//     answers, files kept until deleted unless the form has expires_after [D].
//   - Extensions are those that the documentation's words (PDF, Office, text, tables,
//     e-books) most plainly mean: assumed.
//   - Chat's part is flat: {"type":"file","file_id":…} [C]. In the Responses API images
//     are input_image parts [D].
//   - Assumed: listing, with limit, and retrieving as OpenAI has them; chat's part takes
//     images, too; the field of input_image is file_id, as at OpenAI.
func deepSeek() Config {
	documents := []string{".pdf", ".doc", ".docx", ".ppt", ".pptx", ".xls", ".xlsx", ".txt", ".md", ".csv", ".epub", ".mobi"}
	// A document is listed once it is parsed, also if the client has left before [D]. That
	// parsing takes at most three minutes after the two for the upload is assumed.
	const parsing = 300
	small := map[string]int64{".txt": 32 * mib, ".md": 32 * mib, ".csv": 32 * mib, ".xls": 32 * mib, ".xlsx": 32 * mib, ".epub": 32 * mib, ".mobi": 32 * mib}
	return Config{
		API: API{
			Name: "deepseek", BaseURL: "https://api.deepseek.com",
			Purposes: []providers.Purpose{
				{Name: "text_recognition", MaxSize: 100 * mib, Extensions: documents, SizeOf: small, SettlingSeconds: parsing},
				{Name: "rich_layout_recognition", MaxSize: 100 * mib, Extensions: documents, SizeOf: small, SettlingSeconds: parsing},
				{Name: "user_data", MaxSize: 64 * mib, Extensions: []string{".png", ".jpg", ".jpeg", ".webp", ".gif"}, MediaTypes: []string{"image/*"}},
			},
			Expiry:  expiresAfter,
			Listing: PagingAfter, PageSize: 100,
		},
		Retrieve: true,
		References: []Reference{
			{Name: "file_id", Request: providers.RequestChat, Purpose: "user_data", MediaTypes: []string{"image/*"}, JSON: flatPart},
			{Name: "input_image", Request: providers.RequestResponses, Purpose: "user_data", MediaTypes: []string{"image/*"}, JSON: inputImage},
			{Name: "file_id", Request: providers.RequestChat, Purpose: "text_recognition", MediaTypes: documentType, JSON: flatPart},
			{Name: "file_id", Request: providers.RequestChat, Purpose: "rich_layout_recognition", MediaTypes: documentType, JSON: flatPart},
		},
	}
}

// mistral: https://docs.mistral.ai/api/#tag/files.
//
//   - 512 MB, the purposes, paging by page and page_size, with the total in the
//     answer [D][C].
//   - Chat takes a chunk {"type":"file","file_id":…} [C].
//   - Assumed: pages count from 0; the ocr request takes the same chunk; chat takes files
//     of the purpose ocr.
func mistral() Config {
	return Config{
		API: API{
			Name: "mistral", BaseURL: "https://api.mistral.ai/v1",
			Purposes: []providers.Purpose{
				{Name: "ocr", MaxSize: 512 * mib},
				{Name: "batch", MaxSize: 512 * mib, Extensions: []string{".jsonl"}, MediaTypes: batchTypes, SpareSeconds: providers.BatchSpare},
				{Name: "fine-tune", MaxSize: 512 * mib, Extensions: []string{".jsonl"}},
			},
			Listing: PagingNumber, PageSize: 100,
		},
		Retrieve: true, Download: true,
		References: []Reference{
			{Name: "input_file_id", Request: "POST /batch/jobs", Field: "input_files[]", Purpose: "batch", JSON: inputFileID},
			{Name: "file_id", Request: providers.RequestChat, Note: "also the value of document in POST /ocr", Purpose: "ocr", MediaTypes: append([]string{"image/*"}, documentType...), JSON: flatPart},
		},
	}
}

// xAI: https://docs.x.ai.
//
//   - 50 MB; purposes are ignored; expires_after, where given, must come before the
//     file [3P].
//   - Chat's part is {"type":"file","file":{"file_id":…}}, that of the Responses API
//     {"type":"input_file","file_id":…} [C].
//   - Assumed: that the listing comes whole, or else says has_more, which is then an
//     error.
func xAI() Config {
	return Config{
		API: API{
			Name: "xai", BaseURL: "https://api.x.ai/v1",
			Purposes:       []providers.Purpose{{Name: "assistants", MaxSize: 50 * mib}},
			IgnoresPurpose: true,
			Expiry:         expiresAfter,
			Listing:        PagingNone,
		},
		Retrieve: true, Download: true,
		References: []Reference{
			{Name: "file_id", Request: providers.RequestChat, Purpose: "assistants", JSON: fileIDPart},
			{Name: "input_file", Request: providers.RequestResponses, Purpose: "assistants", JSON: inputFile},
		},
	}
}
