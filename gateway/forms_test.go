package gateway_test

import (
	"strings"
	"testing"

	"casgate/gateway/api"
	"casgate/gateway/problem"
)

// Forms that are malformed in one certain way are taken for what they mean.
func TestFormsOfCarelessClients(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	post := func(boundary, contentType, fileHeader string) answer {
		body := strings.ReplaceAll("--@@\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--@@\r\n"+fileHeader+"\r\n\r\ncontent\r\n--@@--\r\n", "@@", boundary)
		return s.do("POST", "/v1/files", strings.NewReader(body), "Content-Type", contentType)
	}
	const plainType, disposition = "multipart/form-data; boundary=xyz", `Content-Disposition: form-data; name="file"; `
	for name, tt := range map[string]struct{ boundary, contentType, header, want string }{
		"boundary with =":              {"a=b/c", "multipart/form-data; boundary=a=b/c", disposition + `filename="x.txt"`, "x.txt"},
		"boundary with =, and charset": {"a=b", "multipart/form-data; boundary=a=b; charset=utf-8", disposition + `filename="x.txt"`, "x.txt"},
		"name with blanks":             {"xyz", plainType, disposition + `filename=my long name.txt`, "my long name.txt"},
		"name with umlauts and blanks": {"xyz", plainType, disposition + `filename=mein Überblick.txt`, "mein Überblick.txt"},
		"encoded words":                {"xyz", plainType, disposition + `filename="=?UTF-8?B?5oql5ZGKLnBkZg==?="`, "报告.pdf"},
		"encoded words, quoted":        {"xyz", plainType, disposition + `filename="=?utf-8?q?=C3=BCber.txt?="`, "über.txt"},
		"8bit":                         {"xyz", plainType, disposition + "filename=\"x.txt\"\r\nContent-Transfer-Encoding: 8bit", "x.txt"},
	} {
		a := post(tt.boundary, tt.contentType, tt.header)
		if a.StatusCode != 200 || decode[api.File](t, a).Filename != tt.want || decode[api.File](t, a).Bytes != 7 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	for name, tt := range map[string]struct{ header, param, words string }{
		"base64":           {disposition + "filename=\"x.txt\"\r\nContent-Transfer-Encoding: base64", "", "Content-Transfer-Encoding"},
		"quoted-printable": {disposition + "filename=\"x.txt\"\r\nContent-Transfer-Encoding: quoted-printable", "", "Content-Transfer-Encoding"},
		"half a quote":     {disposition + `filename="x.txt`, "", "Content-Disposition"},
		"blanks and more":  {disposition + `filename=a b.txt; size=3`, "", "Content-Disposition"},
		"GBK":              {disposition + "filename=\"\xb1\xa8\xb8\xe6.pdf\"", "filename", "UTF-8"},
	} {
		e := post("xyz", plainType, tt.header).wantFileError(t, 400, problem.InvalidRequest, tt.param)
		if !strings.Contains(e.Message, tt.words) {
			t.Errorf("%s: %s", name, e.Message)
		}
	}
}

func TestUnknownPathsSayWhatMayBeMeant(t *testing.T) {
	t.Parallel()
	s := start(t, embedded(t, t.TempDir()), nil)
	for path, words := range map[string]string{
		"/v1/files/": `"/v1/files"`, "/v1//files": `"/v1/files"`, "/v1/nothing": "openapi.yaml", "/files": "under /v1", "/v2/files": "under /v1",
	} {
		a := s.do("GET", path, nil)
		if a.StatusCode != 404 || !strings.Contains(strings.ReplaceAll(string(a.body), `\"`, `"`), words) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
}
