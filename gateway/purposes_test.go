package gateway_test

import (
	"net/url"
	"testing"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/providers"
	"casgate/providers/replicator"
)

// Files have the purposes of all configured providers, and lists take those of OpenAI's
// outputs, too.
func TestPurposesOfFiles(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, func(o *replicator.Options) {
			reads := newRemote("reads")
			reads.about.Purposes = []providers.Purpose{{Name: "ocr.v2"}, {Name: "batch"}}
			o.Providers = append(o.Providers, reads)
		}, nil)
		upload := func(purpose string) answer {
			return s.postForm("", field("purpose", purpose), filePart("x.txt", purpose))
		}
		if made := decode[api.File](t, upload("ocr.v2")); made.Purpose != "ocr.v2" {
			t.Errorf("%+v", made)
		}
		for purpose, want := range map[string]int{"ocr.v2": 1, "batch": 0, "batch_output": 0, "assistants_output": 0, "fine-tune-results": 0} {
			if list := s.listFiles(url.Values{"purpose": {purpose}}); len(list.Data) != want {
				t.Errorf("%s: %+v", purpose, list)
			}
		}
		for _, purpose := range []string{"batch_output", "ocr", "", "a b"} {
			upload(purpose).wantFileError(t, 400, problem.InvalidRequest, "purpose")
		}
		s.do("GET", "/v1/files?purpose=ocr", nil).wantFileError(t, 400, problem.InvalidRequest, "purpose")
	})
}
