package gateway_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkCreateFile measures POST /v1/files of new bytes beside POST /v1/blobs of
// as many. The two take turns, so that other load on the machine affects both. The
// ratio is the median of blobs divided by the median of files.
func BenchmarkCreateFile(b *testing.B) {
	const size = 64 << 10
	for _, setup := range []struct {
		name string
		make func(*testing.B) bench
	}{{"embedded", newBench}, {"served", newServedBench}} {
		b.Run(setup.name, func(b *testing.B) {
			rig := setup.make(b)
			address := rig.serve(b)
			content := random(size)
			form, formType := fileForm(b, "data.bin", content)
			at := bytes.Index(form, content)
			var serial uint64
			post := func(path, mediaType string, body []byte, at int) time.Duration {
				serial++
				binary.LittleEndian.PutUint64(body[at:], serial)
				req := rig.request(b, http.MethodPost, "http://"+address+path)
				req.Header.Set("Content-Type", mediaType)
				req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				start := time.Now()
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				answer, err := io.ReadAll(res.Body)
				took := time.Since(start)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 && res.StatusCode != 201 {
					b.Fatalf("%d %s, %v", res.StatusCode, answer, err)
				}
				return took
			}
			var blobs, files []time.Duration
			for b.Loop() {
				blobs = append(blobs, post("/v1/blobs", "application/octet-stream", content, 0))
				files = append(files, post("/v1/files", formType, form, at))
			}
			blob, file := median(blobs), median(files)
			b.ReportMetric(float64(blob.Microseconds()), "µs/blob")
			b.ReportMetric(float64(file.Microseconds()), "µs/file")
			b.ReportMetric(blob.Seconds()/file.Seconds(), "ratio")
		})
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
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
