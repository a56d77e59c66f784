package kimisim

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"casgate/providers/simulator"
)

// purposes are the six that the service's own error names.
var purposes = []string{"file-extract", "batch", "batch_output", "lambda", "image", "video"}

// extensions are those each purpose takes, from the documentation; a purpose that
// isn't here takes all.
var extensions = map[string][]string{
	"file-extract": strings.Fields(`.pdf .txt .csv .doc .docx .xls .xlsx .ppt .pptx .md .dot .epub .html .json .mobi .log .go .h .c
		.cpp .cxx .cc .cs .java .js .css .jsp .php .py .py3 .asp .yaml .yml .ini .conf .ts .tsx`),
	"image": strings.Fields(".png .jpg .jpeg .webp .gif"),
	"video": strings.Fields(".mp4 .mpeg .mov .avi .flv .mpg .webm .wmv .3gp .3gpp"),
	"batch": {".jsonl"},
}

// oldImages are those that file-extract took before 2026-08-31.
var oldImages = strings.Fields(`.jpeg .jpg .png .bmp .gif .svg .svgz .webp .ico .xbm .dib .pjp .tif .pjpeg .avif .apng .tiff .jfif`)

// fileTypes are the media types that the service reports for extensions.
var fileTypes = map[string]string{
	".pdf": "application/pdf", ".json": "application/json", ".csv": "text/csv", ".html": "text/html", ".md": "text/markdown",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
	".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".jsonl": "application/jsonl",
}

func fileType(name string) string {
	if t, known := fileTypes[extension(name)]; known {
		return t
	}
	return "text/plain"
}

func extension(name string) string { return strings.ToLower(path.Ext(name)) }

// check returns the error for a file that the purpose refuses, or nil.
func (s *Server) check(f simulator.RemoteFile) *simulator.ErrorRow {
	switch {
	case f.Size == 0:
		return &errEmpty
	case f.Size > s.options.MaxFileSize:
		return &errTooLarge
	}
	taken := extensions[f.Purpose]
	if f.Purpose == "file-extract" && s.options.OldImages {
		taken = slices.Concat(taken, oldImages)
	}
	if taken != nil && !slices.Contains(taken, extension(f.Name)) {
		return &errUnsupported
	}
	switch {
	case f.Purpose == "file-extract" && len(bytes.TrimSpace(f.Head)) == 0:
		return &errNothingParsed
	case f.Purpose == "video" && s.options.CheckVideo && extension(f.Name) == ".mp4" && !isMP4(f.Head):
		return &errVideo
	}
	return nil
}

// isMP4 reports whether a file begins as ISO/IEC 14496-12 has it.
func isMP4(head []byte) bool { return len(head) >= 8 && string(head[4:8]) == "ftyp" }

// text is the simulator's extracted text of a file: a text file's own text, or otherwise
// one line with the digest.
func text(f simulator.RemoteFile) string {
	head := f.Head
	if !f.Whole() { // a character may have been cut
		for range utf8.UTFMax - 1 {
			if utf8.Valid(head) {
				break
			}
			head = head[:len(head)-1]
		}
	}
	if utf8.Valid(head) && !bytes.ContainsRune(head, 0) {
		return string(head)
	}
	return "The simulator's text of " + f.Digest.String() + "."
}
