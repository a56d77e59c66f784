package glmsim

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"casgate/providers/simulator"
)

// purpose is what a file may be stored for, with its limits.
type purpose struct {
	extensions []string // none means any
	maxSize    int64
	maxImage   int64 // of images, where it isn't 0
	maxFiles   int   // 0 means unbounded
	unlisted   bool
	download   bool
	lifetime   time.Duration
}

const mib = 1 << 20

var purposes = map[string]purpose{
	"batch":             {extensions: []string{".jsonl"}, maxSize: 100 * mib, maxFiles: 1000, download: true},
	"code-interpreter":  {extensions: documents, maxSize: 20 * mib, maxImage: 5 * mib, maxFiles: 100},
	"agent":             {extensions: documents, maxSize: 20 * mib, maxImage: 5 * mib, maxFiles: 1000},
	"voice-clone-input": {extensions: []string{".mp3", ".wav"}, unlisted: true},
}

var documents = strings.Fields(".pdf .docx .doc .xls .xlsx .txt .png .jpg .jpeg .csv")

// internationalAgent is Z.ai's purpose agent.
var internationalAgent = purpose{
	extensions: strings.Fields(".pdf .doc .xlsx .ppt .txt .jpg .png"),
	maxSize:    100 * mib, maxFiles: 100, lifetime: 180 * 24 * time.Hour,
}

var oldPurposes = map[string]purpose{
	"file-extract": {
		extensions: strings.Fields(".pdf .docx .doc .xls .xlsx .ppt .pptx .png .jpg .jpeg .csv"),
		maxSize:    50 * mib, maxImage: 5 * mib, maxFiles: 100, download: true,
	},
	"fine-tune": {extensions: []string{".jsonl"}, maxSize: 100 * mib},
	"retrieval": {maxSize: 5 * mib},
}

// anyUpload bounds all uploads, in bytes: larger ones are answered 435.
const anyUpload = 100 * mib

func (s *Server) purpose(name string) (purpose, bool) {
	if s.options.International && name == "agent" {
		return internationalAgent, true
	}
	p, known := purposes[name]
	if !known && s.options.OldPurposes {
		p, known = oldPurposes[name]
	}
	return p, known
}

// listable reports whether GET /files takes the purpose.
func (s *Server) listable(name string) bool {
	switch name {
	case "batch", "code-interpreter", "agent":
		return true
	}
	return name == "file-extract" && s.options.OldPurposes
}

// check returns the answer for a file that the purpose refuses, or nil.
func (s *Server) check(p purpose, f simulator.RemoteFile) *simulator.Answer {
	extension := strings.ToLower(path.Ext(f.Name))
	limit := p.maxSize
	if p.maxImage > 0 && slices.Contains([]string{".png", ".jpg", ".jpeg"}, extension) {
		limit = p.maxImage
	}
	var refusal simulator.Answer
	switch {
	case f.Size > anyUpload:
		refusal = s.answer(errTooLarge)
	case limit > 0 && f.Size > limit:
		refusal = s.core.Error(http.StatusBadRequest, "1214", "file 参数非法。文件大小超过限制")
	case len(p.extensions) > 0 && !slices.Contains(p.extensions, extension):
		refusal = s.core.Error(http.StatusBadRequest, "1214", "file 参数非法。不支持的文件格式")
	case f.Size == 0:
		refusal = s.core.Error(http.StatusBadRequest, "1214", "file 参数非法。文件内容为空")
	default:
		return nil
	}
	return &refusal
}
