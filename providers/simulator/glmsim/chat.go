package glmsim

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"casgate/providers/simulator"
)

// visionModels are some of GLM's models that see files, and textModels some that don't.
var (
	visionModels = []string{"glm-5v-turbo", "glm-4.6v", "glm-4.6v-flash"}
	textModels   = []string{"glm-5.2", "glm-4.7-flash"}
)

// chat is GLM's chat. Images are URLs or plain base64, and a data: URL is refused [seen in
// an issue]; videos and documents are URLs.
func (s *Server) chat() simulator.Chat {
	return simulator.Chat{
		Models: slices.Concat(visionModels, textModels),
		UnknownModel: func(string) simulator.Answer {
			return s.core.Error(http.StatusBadRequest, "1211", "模型不存在，请检查模型代码")
		},
		Invalid: s.invalidChat,
		Part:    s.chatPart,
		Usage:   simulator.UsageInLast,
	}
}

func (s *Server) invalidChat(message string) simulator.Answer {
	return s.core.Error(http.StatusBadRequest, "1210", "API 调用参数有误，请检查文档: "+message)
}

func (s *Server) chatPart(ctx context.Context, model string, part simulator.ChatPart) (simulator.ChatFile, *simulator.Answer) {
	refuse := func(message string) (simulator.ChatFile, *simulator.Answer) {
		a := s.invalidChat(message)
		return simulator.ChatFile{}, &a
	}
	isURL := strings.HasPrefix(part.URL, "https://") || strings.HasPrefix(part.URL, "http://")
	var file simulator.ChatFile
	var err error
	switch {
	case !slices.Contains(visionModels, model):
		return refuse("the model takes text only")
	case !slices.Contains([]string{"image_url", "video_url", "file_url"}, part.Type):
		return refuse("the type " + part.Type + " is unknown")
	case strings.HasPrefix(part.URL, "data:"):
		return refuse("图片输入格式/解析错误")
	case isURL:
		file, err = simulator.Fetch(ctx, part.URL, part.Type)
	case part.Type == "image_url":
		file, err = simulator.Inline(part.URL, part.Type+", base64")
	default:
		return refuse(part.Type + " is no URL")
	}
	if err != nil {
		return refuse("图片输入格式/解析错误: " + err.Error())
	}
	return file, nil
}
