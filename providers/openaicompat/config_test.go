package openaicompat_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"casgate/providers"
	"casgate/providers/openaicompat"
	"casgate/providers/simulator/openaisim"
)

const minimal = `{"name":"my-llm","base_url":"https://h.example/v1","listing":"after","purposes":[{"name":"assistants"}]}`

func TestParse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ old, new, says string }{
		"not JSON":               {minimal, `name: my-llm`, "invalid"},
		"something after it":     {minimal, minimal + minimal, "after it"},
		"unknown field":          {`"listing"`, `"list_style":"x","listing"`, "list_style"},
		"unknown purpose field":  {`"name":"assistants"`, `"name":"assistants","size":1`, "size"},
		"no name":                {`"my-llm"`, `""`, "name"},
		"bad name":               {`"my-llm"`, `"My LLM"`, "name"},
		"no base URL":            {`https://h.example/v1`, ``, "base_url"},
		"base URL in the clear":  {`https://h`, `http://h`, "in the clear"},
		"no listing":             {`"listing":"after",`, ``, "after, page or none"},
		"no purposes":            {`{"name":"assistants"}`, ``, "at least one"},
		"purpose without a name": {`{"name":"assistants"}`, `{}`, "no name"},
		"purpose twice":          {`{"name":"assistants"}`, `{"name":"a"},{"name":"a"}`, "more than one"},
		"extension, no dot":      {`"assistants"`, `"a","extensions":["pdf"]`, "dot"},
		"extension, upper-case":  {`"assistants"`, `"a","extensions":[".PDF"]`, "lower-case"},
		"negative size":          {`"assistants"`, `"a","max_size":-1`, "out of range"},
		"size of nothing":        {`"assistants"`, `"a","size_of":{".pdf":0}`, "positive"},
		"negative limit":         {`"listing"`, `"max_files":-1,"listing"`, "negative"},
		"field that is ours":     {`"listing"`, `"fields":{"purpose":"x"},"listing"`, "can't be set"},
		"processes alone":        {`"listing"`, `"processes":true,"listing"`, "retrieve"},
		"purposes ignored":       {`"listing":"after","purposes":[`, `"ignores_purpose":true,"listing":"after","purposes":[{"name":"b"},`, "alone"},
		"no purposes, yet two":   {`"listing":"after","purposes":[`, `"no_purposes":true,"listing":"after","purposes":[{"name":"b"},`, "alone"},
		"expiry, no seconds":     {`"listing"`, `"expiry":{"fields":{"ttl":"1d"}},"listing"`, "{seconds}"},
		"expiry, field of ours":  {`"listing"`, `"expiry":{"fields":{"file":"{seconds}"}},"listing"`, "can't be set"},
		"expiry, wrong limits":   {`"listing"`, `"expiry":{"fields":{"ttl":"{seconds}"},"min_seconds":9,"max_seconds":8},"listing"`, "out of range"},
		"reference, no purpose":  {`"listing"`, `"references":[{"name":"r","where":"w","purpose":"x","json":"{file_id}"}],"listing"`, "no purpose"},
		"reference, no id":       {`"listing"`, `"references":[{"name":"r","where":"w","purpose":"assistants","json":"x"}],"listing"`, "{file_id}"},
		"reference, no URL":      {`"listing"`, `"references":[{"name":"r","where":"w","json":"{file_id}"}],"listing"`, "{url}"},
		"reference, no name":     {`"listing"`, `"references":[{"where":"w","json":"{url}"}],"listing"`, "no name"},
		"reference, no JSON":     {`"listing"`, `"references":[{"name":"r","where":"w","purpose":"assistants"}],"listing"`, "JSON"},
	} {
		text := strings.Replace(minimal, test.old, test.new, 1)
		if text == minimal {
			t.Errorf("%s: nothing was replaced", name)
		}
		if _, err := openaicompat.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v; want an error that says %q", name, err, test.says)
		}
	}
	if _, err := openaicompat.Parse([]byte(minimal)); err != nil {
		t.Error(err)
	}
}

func TestPresets(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range openaicompat.Presets() {
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		if seen[p.Name] {
			t.Errorf("%s is there twice", p.Name)
		}
		seen[p.Name] = true
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := openaicompat.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Errorf("%s changed by being written and read:\n%s", p.Name, diff)
		}
		opened, err := openaicompat.Open(providers.Settings{Name: p.Name, APIKey: key})
		if err != nil || opened.Describe().Provider != p.Name || !strings.HasPrefix(p.BaseURL, "https://"+opened.Describe().Host) {
			t.Errorf("%s: %+v, %v", p.Name, opened, err)
		}
	}
	if _, err := openaicompat.Open(providers.Settings{Name: "absent", APIKey: key}); err == nil || !strings.Contains(err.Error(), "mistral") {
		t.Errorf("got %v; want an error that lists the presets", err)
	}
}

// TestAbilities: an adapter has the abilities that its Config says, and no others.
func TestAbilities(t *testing.T) {
	t.Parallel()
	for _, want := range []struct{ retrieve, processes, download bool }{
		{}, {retrieve: true}, {download: true}, {retrieve: true, download: true},
		{retrieve: true, processes: true}, {retrieve: true, processes: true, download: true},
	} {
		c := preset(t, "openai")
		c.Retrieve, c.Processes, c.Download = want.retrieve, want.processes, want.download
		p, _ := open(t, c, openaisim.Options{})
		_, retrieves := providers.Ability[providers.Retriever](p)
		_, polls := providers.Ability[providers.Poller](p)
		_, downloads := providers.Ability[providers.Downloader](p)
		_, extracts := providers.Ability[providers.TextExtractor](p)
		if retrieves != want.retrieve || polls != want.processes || downloads != want.download || extracts {
			t.Errorf("%+v: retrieves %t, polls %t, downloads %t, extracts %t", want, retrieves, polls, downloads, extracts)
		}
	}
}

// TestProcessing: a provider that works on files after it took them.
func TestProcessing(t *testing.T) {
	t.Parallel()
	c := preset(t, "openai")
	c.Processes = true
	for _, fails := range []bool{false, true} {
		p, _ := open(t, c, openaisim.Options{Polls: 2, Fails: fails})
		f, err := p.Upload(t.Context(), (&source{Reader: strings.NewReader("abc")}).upload(3))
		if err != nil || f.Status != providers.StatusProcessing {
			t.Fatalf("uploaded: %+v, %v", f, err)
		}
		var got []providers.Status
		for range 3 {
			f, err := p.(providers.Poller).Poll(t.Context(), f.ID)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, f.Status)
		}
		want := []providers.Status{providers.StatusProcessing, providers.StatusProcessing, providers.StatusReady}
		if fails {
			want[2] = providers.StatusFailed
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ preset, mediaType, extension, want string }{
		{"openai", "image/png", ".png", `input_image vision {"type":"input_image","file_id":"id-1"}`},
		{"openai", "application/pdf", ".pdf", `file_id user_data {"type":"file","file":{"file_id":"id-1"}}`},
		{"openai", "text/plain", ".txt", `input_file user_data {"type":"input_file","file_id":"id-1"}`},
		{"openai", "application/json", ".json", `input_file user_data {"type":"input_file","file_id":"id-1"}`},
		{"openai", "application/octet-stream", ".docx", `input_file user_data {"type":"input_file","file_id":"id-1"}`},
		{"openai", "application/pdf", ".v2", `file_id user_data {"type":"file","file":{"file_id":"id-1"}}`},
		{"openai", "application/zip", ".zip", ""},
		{"openai", "application/jsonl", ".jsonl", `input_file_id batch "id-1"`},
		{"openai", "video/mp4", ".mp4", ""},
		{"qwen", "application/pdf", ".pdf", `file_id file-extract {"role":"system","content":"fileid://id-1"}`},
		{"qwen", "text/plain", ".jsonl", `input_file_id batch "id-1"`},
		{"deepseek", "image/png", ".png", `file_id user_data {"type":"file","file_id":"id-1"}`},
		{"deepseek", "application/pdf", ".pdf", `file_id text_recognition {"type":"file","file_id":"id-1"}`},
		{"deepseek", "application/zip", ".zip", ""},
		{"mistral", "application/pdf", ".pdf", `file_id ocr {"type":"file","file_id":"id-1"}`},
		{"xai", "application/pdf", ".pdf", `file_id assistants {"type":"file","file":{"file_id":"id-1"}}`},
	} {
		p := with(t, preset(t, test.preset), nil)
		got := ""
		if kinds := p.References(test.mediaType, test.extension); len(kinds) > 0 {
			value, err := p.Reference(kinds[0], providers.Material{FileID: "id-1"})
			if err != nil {
				t.Fatal(err)
			}
			got = kinds[0].Name + " " + kinds[0].Purpose + " " + string(value)
			if _, err := p.Reference(kinds[0], providers.Material{URL: "https://h.example/"}); providers.KindOf(err) != providers.KindPermanent {
				t.Errorf("%s %s without material: %v", test.preset, test.extension, err)
			}
		}
		if got != test.want {
			t.Errorf("%s %s:\n got %s\nwant %s", test.preset, test.extension, got, test.want)
		}
	}
}

// TestSeveralReferences: all that are true are offered, and each says where.
func TestSeveralReferences(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ preset, mediaType, extension, want string }{
		{"openai", "application/pdf", ".pdf", "file_id in chat completions, input_file in responses"},
		{"openai", "text/markdown", ".md", "input_file in responses"},
		{"openai", "image/png", ".png", "input_image in responses, image_url in chat completions, image_base64 in chat completions"},
		{"qwen", "image/png", ".png", "file_id in chat completions, image_url in chat completions, image_base64 in chat completions"},
		{"qwen", "video/mp4", ".mp4", "file_id in chat completions, video_url in chat completions"},
		{"deepseek", "image/png", ".png", "file_id in chat completions, input_image in responses"},
		{"mistral", "application/pdf", ".pdf", "file_id in chat completions"},
		{"xai", "application/pdf", ".pdf", "file_id in chat completions, input_file in responses"},
	} {
		var got []string
		for _, kind := range with(t, preset(t, test.preset), nil).References(test.mediaType, test.extension) {
			switch {
			case strings.Contains(kind.Where(), "POST /chat/completions"):
				got = append(got, kind.Name+" in chat completions")
			case strings.Contains(kind.Where(), "POST /responses"):
				got = append(got, kind.Name+" in responses")
			default:
				t.Errorf("%s: %s goes in %q", test.preset, kind.Name, kind.Where())
			}
		}
		if got := strings.Join(slices.Compact(got), ", "); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.preset, test.extension, got, test.want)
		}
	}
}

func TestReferenceByURL(t *testing.T) {
	t.Parallel()
	c := preset(t, "openai")
	c.References = []openaicompat.Reference{{Name: "link", Note: "somewhere", JSON: json.RawMessage(`{"see":"<{url}>","name":"{name} ({media_type})"}`)}}
	p := with(t, c, nil)
	kinds := p.References("text/plain", ".txt")
	if len(kinds) != 1 || kinds[0].Needs != providers.NeedURL {
		t.Fatalf("got %+v", kinds)
	}
	got, err := p.Reference(kinds[0], providers.Material{URL: "https://h.example/?a=1&b={name}", Name: `a "b"`, MediaType: "text/plain"})
	if want := `{"see":"<https://h.example/?a=1&b={name}>","name":"a \"b\" (text/plain)"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := p.Reference(providers.ReferenceKind{Name: "other", Needs: providers.NeedURL}, providers.Material{URL: "x"}); !errors.Is(err, providers.ErrNoReference) {
		t.Errorf("got %v", err)
	}
}

func TestListings(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		listing openaicompat.Paging
		size    int
		pages   []string // the answers, the last one over and over
		want    string   // ids
		asked   string   // queries
		fails   bool
	}{
		"one page":           {"after", 0, []string{`{"data":[{"id":"a"},{"id":"b"}],"has_more":false}`}, "a b", "", false},
		"null is no files":   {"after", 0, []string{`{"data":null,"has_more":false}`}, "", "", false},
		"no data":            {"after", 0, []string{`{"object":"list"}`}, "", "", true},
		"data is no list":    {"after", 0, []string{`{"data":{"id":"a"}}`}, "", "", true},
		"pages":              {"after", 2, []string{`{"data":[{"id":"a"},{"id":"b"}],"has_more":true}`, `{"data":[{"id":"c"}],"has_more":false}`}, "a b c", "limit=2 after=b&limit=2", false},
		"an id is missing":   {"after", 0, []string{`{"data":[{"id":"a"},{"bytes":1}],"has_more":false}`}, "a", "", true},
		"no word of more":    {"after", 0, []string{`{"data":[{"id":"a"}]}`, `{"data":[]}`}, "a", " after=a", false},
		"knows no paging":    {"after", 9, []string{`{"data":[{"id":"a"},{"id":"b"}]}`}, "a b", "limit=9 after=b&limit=9", false},
		"the same full page": {"after", 2, []string{`{"data":[{"id":"a"},{"id":"b"}]}`}, "a b", "limit=2 after=b&limit=2", true},
		"claims more":        {"after", 0, []string{`{"data":[{"id":"a"}],"has_more":true}`}, "a", " after=a", true},
		"more of nothing":    {"after", 0, []string{`{"data":[],"has_more":true}`}, "", "", true},
		"repeats some":       {"after", 0, []string{`{"data":[{"id":"a"},{"id":"b"}],"has_more":true}`, `{"data":[{"id":"b"},{"id":"c"}],"has_more":false}`}, "a b c", " after=b", false},
		"numbers, total":     {"page", 2, []string{`{"data":[{"id":"a"},{"id":"b"}],"total":3}`, `{"data":[{"id":"c"}],"total":3}`}, "a b c", "page=0&page_size=2 page=1&page_size=2", false},
		"numbers, no total":  {"page", 2, []string{`{"data":[{"id":"a"}]}`, `{"data":[]}`}, "a", "page=0&page_size=2 page=1&page_size=2", false},
		"numbers, no end":    {"page", 2, []string{`{"data":[{"id":"a"}]}`}, "a", "page=0&page_size=2 page=1&page_size=2", true},
		"none":               {"none", 0, []string{`{"data":[{"id":"a"}]}`}, "a", "", false},
		"none, and more":     {"none", 0, []string{`{"data":[{"id":"a"}],"has_more":true}`}, "a", "", true},
	} {
		c := preset(t, "openai")
		c.Listing, c.PageSize = test.listing, test.size
		var asked []string
		p := with(t, c, func(r *http.Request) (*http.Response, error) {
			page := test.pages[min(len(asked), len(test.pages)-1)]
			asked = append(asked, r.URL.RawQuery)
			return answer(r, 200, "application/json", page), nil
		})
		var got []string
		failed := false
		for f, err := range p.List(t.Context(), "") {
			if err != nil {
				failed = true
				if providers.KindOf(err) != providers.KindTransient {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			got = append(got, f.ID)
		}
		if strings.Join(got, " ") != test.want || strings.Join(asked, " ") != test.asked || failed != test.fails {
			t.Errorf("%s: got %q, asked %q, failed %t; want %q, %q, %t", name, got, asked, failed, test.want, test.asked, test.fails)
		}
	}
}
