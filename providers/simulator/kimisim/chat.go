package kimisim

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"casgate/providers/simulator"
)

// models are some of Kimi's.
var models = []string{"kimi-k2.6", "kimi-k3.1", "moonshot-v1-128k-vision-preview"}

// chat is Kimi's chat. Images and videos are data: URLs, or ms:// with the id of a file of
// their purpose; other URLs are refused [seen in an issue]. Documents are texts.
func (s *Server) chat() simulator.Chat {
	return simulator.Chat{
		Models: models,
		UnknownModel: func(model string) simulator.Answer {
			return s.core.Error(http.StatusNotFound, errNotFound.Code, fmt.Sprintf("Not found the model %s or Permission denied", model))
		},
		Invalid: func(message string) simulator.Answer { return s.badRequest("Invalid request: %s", message) },
		Part:    s.chatPart,
		Usage:   simulator.UsageInChoice,
	}
}

// purposeOf is the purpose that the file of a part must have.
var purposeOf = map[string]string{"image_url": "image", "video_url": "video"}

func (s *Server) chatPart(_ context.Context, _ string, part simulator.ChatPart) (simulator.ChatFile, *simulator.Answer) {
	refuse := func(a simulator.Answer) (simulator.ChatFile, *simulator.Answer) { return simulator.ChatFile{}, &a }
	purpose, known := purposeOf[part.Type]
	if !known {
		return refuse(s.badRequest("Invalid request: the content type %q is not supported", part.Type))
	}
	if strings.HasPrefix(part.URL, "data:") {
		file, err := simulator.Inline(part.URL, part.Type)
		if err != nil {
			return refuse(s.badRequest("Invalid request: %v", err))
		}
		return file, nil
	}
	id, found := strings.CutPrefix(part.URL, "ms://")
	if !found {
		return refuse(s.badRequest("Invalid request: unsupported image url: %.100s", part.URL))
	}
	f, found := s.core.File(id)
	if !found && s.options.StaleChat != 0 {
		return refuse(s.core.Error(s.options.StaleChat, invalidRequest, "Invalid request: file "+id+" not found"))
	}
	if !found {
		return refuse(s.notFound())
	}
	if f.Purpose != purpose {
		return refuse(s.badRequest("Invalid request: file %s has the purpose %s", id, f.Purpose))
	}
	return simulator.FileOf(f, part.Type+", ms://"), nil
}
