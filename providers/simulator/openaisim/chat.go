package openaisim

import (
	"context"
	"net/http"
	"strings"

	"casgate/providers/simulator"
)

// models are some of OpenAI's.
var models = []string{"gpt-4o", "gpt-5.2"}

// chat is a chat in OpenAI's shape. A file is named by its id, flat or not, or by
// fileid:// in a system message, as at DashScope; or its bytes stand in the request.
func (s *Server) chat() simulator.Chat {
	return simulator.Chat{
		Models: s.options.Models,
		UnknownModel: func(model string) simulator.Answer {
			return s.core.Error(http.StatusNotFound, "model_not_found", "The model `"+model+"` does not exist or you do not have access to it.")
		},
		Invalid: s.badRequest,
		Part:    s.chatPart,
		Message: s.chatMessage,
	}
}

func (s *Server) chatPart(ctx context.Context, _ string, part simulator.ChatPart) (simulator.ChatFile, *simulator.Answer) {
	refuse := func(a simulator.Answer) (simulator.ChatFile, *simulator.Answer) { return simulator.ChatFile{}, &a }
	var file simulator.ChatFile
	var err error
	switch {
	case part.FileID != "":
		f, found := s.core.File(part.FileID)
		if !found {
			return refuse(s.notFound(part.FileID))
		}
		return simulator.FileOf(f, part.Type), nil
	case part.FileData != "":
		file, err = simulator.Inline(part.FileData, part.Type)
		file.Name = part.Filename
	case part.Type == "file":
		return refuse(s.badRequest("Missing required parameter: 'file_id' or 'file_data'."))
	case strings.HasPrefix(part.URL, "data:"):
		file, err = simulator.Inline(part.URL, part.Type)
	case part.Type == "image_url", part.Type == "video_url":
		file, err = simulator.Fetch(ctx, part.URL, part.Type)
	default:
		return refuse(s.badRequest("Invalid value: '" + part.Type + "'."))
	}
	if err != nil {
		return refuse(s.badRequest("Error while downloading or reading the file: " + err.Error()))
	}
	return file, nil
}

func (s *Server) chatMessage(role, text string) (file simulator.ChatFile, found bool, refusal *simulator.Answer) {
	id, ok := strings.CutPrefix(text, "fileid://")
	if !ok || role != "system" {
		return simulator.ChatFile{}, false, nil
	}
	f, ok := s.core.File(id)
	if !ok {
		a := s.notFound(id)
		return simulator.ChatFile{}, false, &a
	}
	return simulator.FileOf(f, "fileid://"), true, nil
}
