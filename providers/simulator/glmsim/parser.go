package glmsim

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"casgate/providers/simulator"
)

// parser keeps the tasks of the file parser, an API of its own beside files: what
// is given to it is parsed, and not kept as a file.
type parser struct {
	mu    sync.Mutex
	tasks map[string]*task
}

type task struct {
	text  string
	polls int // how often it will still be at work
}

// tool is a way to parse.
type tool struct {
	maxSize    int64
	maxOf      map[string]int64 // by extension
	extensions []string         // none means any
}

var tools = map[string]tool{
	"lite":   {maxSize: 50 * mib},
	"expert": {maxSize: 100 * mib, extensions: []string{".pdf"}},
	"prime": {
		maxSize:    100 * mib,
		extensions: strings.Fields(".pdf .doc .docx .ppt .pptx .xls .xlsx .csv .png .jpg .jpeg"),
		maxOf: map[string]int64{
			".xls": 10 * mib, ".xlsx": 10 * mib, ".csv": 10 * mib,
			".png": 20 * mib, ".jpg": 20 * mib, ".jpeg": 20 * mib,
		},
	},
}

func (s *Server) parse(r *http.Request) simulator.Answer {
	f, refusal := s.receiveToParse(r, tools)
	if refusal != nil {
		return *refusal
	}
	id := uuid.NewString()
	s.parser.mu.Lock()
	defer s.parser.mu.Unlock()
	s.parser.tasks[id] = &task{text(f), s.options.ParserPolls}
	return simulator.JSON(http.StatusOK, map[string]any{"success": true, "message": "任务创建成功", "task_id": id})
}

func (s *Server) parseSync(r *http.Request) simulator.Answer {
	f, refusal := s.receiveToParse(r, map[string]tool{"prime-sync": tools["prime"]})
	if refusal != nil {
		return *refusal
	}
	return simulator.JSON(http.StatusOK, result(uuid.NewString(), "succeeded", text(f)))
}

func (s *Server) receiveToParse(r *http.Request, tools map[string]tool) (simulator.RemoteFile, *simulator.Answer) {
	form, err := s.core.Receive(r, s.options.Order)
	refuse := func(a simulator.Answer) (simulator.RemoteFile, *simulator.Answer) { return simulator.RemoteFile{}, &a }
	if err != nil {
		return refuse(s.core.Error(http.StatusBadRequest, "1210", "API 调用参数有误，请检查文档: "+err.Error()))
	}
	if !form.HasFile {
		return refuse(s.missing("file"))
	}
	tool, known := tools[form.Fields["tool_type"]]
	if !known {
		return refuse(s.invalid("tool_type"))
	}
	if form.Fields["file_type"] == "" {
		// Seen on the live service: status 200, and another shape of error.
		return refuse(simulator.JSON(http.StatusOK, map[string]any{
			"msg":  "Required request parameter 'file_type' for method parameter type String is not present",
			"code": 500,
		}))
	}
	extension := strings.ToLower(path.Ext(form.File.Name))
	limit, special := tool.maxOf[extension]
	if !special {
		limit = tool.maxSize
	}
	if form.File.Size == 0 || form.File.Size > limit || len(tool.extensions) > 0 && !slices.Contains(tool.extensions, extension) {
		return refuse(s.invalid("file"))
	}
	return form.File, nil
}

func (s *Server) parsed(r *http.Request) simulator.Answer {
	id, format := r.PathValue("task"), r.PathValue("format")
	if format != "text" && format != "download_link" {
		return s.invalid("format_type")
	}
	s.parser.mu.Lock()
	defer s.parser.mu.Unlock()
	t, found := s.parser.tasks[id]
	switch {
	case !found:
		return s.invalid("task_id")
	case t.polls > 0:
		t.polls--
		return simulator.JSON(http.StatusOK, result(id, "processing", ""))
	case format == "download_link":
		answer := result(id, "succeeded", "")
		answer["parsing_result_url"] = "https://simulated.invalid/" + id
		return simulator.JSON(http.StatusOK, answer)
	}
	return simulator.JSON(http.StatusOK, result(id, "succeeded", t.text))
}

func result(id, status, text string) map[string]any {
	return map[string]any{"status": status, "message": "", "task_id": id, "content": text, "parsing_result_url": ""}
}
