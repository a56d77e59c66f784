package gateway_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"mime/multipart"
	"net/http"
	"testing"
)

// BenchmarkCreateFile measures POST /v1/files of new bytes beside POST /v1/blobs of
// the same.
func BenchmarkCreateFile(b *testing.B) {
	const size = 64 << 10
	for _, setup := range []struct {
		name string
		make func(*testing.B) bench
	}{{"embedded", newBench}, {"served", newServedBench}} {
		for _, route := range []string{"blobs", "files"} {
			b.Run(setup.name+"/"+route, func(b *testing.B) {
				rig := setup.make(b)
				address := rig.serve(b)
				content := random(size)
				body, mediaType := content, "application/octet-stream"
				if route == "files" {
					body, mediaType = fileForm(b, "data.bin", content)
				}
				at := bytes.Index(body, content)
				b.SetBytes(size)
				b.ReportAllocs()
				for i := uint64(0); b.Loop(); i++ {
					binary.LittleEndian.PutUint64(body[at:], i)
					req := rig.request(b, http.MethodPost, "http://"+address+"/v1/"+route)
					req.Header.Set("Content-Type", mediaType)
					req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
					res, err := http.DefaultClient.Do(req)
					if err != nil {
						b.Fatal(err)
					}
					answer, err := io.ReadAll(res.Body)
					res.Body.Close()
					if err != nil || res.StatusCode != 200 && res.StatusCode != 201 {
						b.Fatalf("%d %s, %v", res.StatusCode, answer, err)
					}
				}
			})
		}
	}
}

// fileForm returns a form with a file, its part before the purpose, as SDKs send
// it.
func fileForm(t testing.TB, name string, content []byte) (body []byte, mediaType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", name)
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = w.WriteField("purpose", "user_data")
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.FormDataContentType()
}
