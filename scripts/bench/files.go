package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"casgate/cas"
)

// --- creating files --------------------------------------------------------

// The form in which OpenAI's clients send a file.
const (
	formBoundary = "casgate-bench-0123456789"
	formHead     = "--" + formBoundary + "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n" +
		"--" + formBoundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"document.txt\"\r\n" +
		"Content-Type: text/plain\r\n\r\n"
	formTail = "\r\n--" + formBoundary + "--\r\n"
)

// postFile is the POST of a new file, in OpenAI's form.
func (g *gateway) postFile(c *content) call {
	length := int64(len(formHead)+len(formTail)) + c.size
	head := render("POST", g.address, "/v1/files", g.authorization(),
		"Content-Type: multipart/form-data; boundary="+formBoundary, fmt.Sprintf("Content-Length: %d", length))
	return call{request: append(head, formHead...), body: c, trailer: []byte(formTail), status: http.StatusOK}
}

// createFiles compares creating files with uploading blobs of the same size, both
// new, at the same gateway.
func createFiles(served bool) func(context.Context, *lab, int) (*gateway, side, side, error) {
	return func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
		start := l.embedded
		if served {
			start = l.served
		}
		g, err := start(ctx)
		if err != nil {
			return nil, side{}, side{}, err
		}
		upload := func(name string, request func(*content) call) side {
			var made uploads
			s := side{name: name}
			s.open = func(ctx context.Context) ([]worker, func(), error) {
				var sources []func() call
				for range connections {
					sources = append(sources, func() call { return request(made.next(medium)) })
				}
				return connect(ctx, g.address, sources, []call{{request: get(g.address, "/healthz"), status: http.StatusOK}})
			}
			s.after = func(ctx context.Context) error {
				contents := made.take()
				if err := g.do(ctx, g.read(contents[len(contents)-1])); err != nil {
					return fmt.Errorf("read an upload back: %w", err)
				}
				return nil
			}
			return s
		}
		return g, upload("POST /v1/files", g.postFile), upload("POST /v1/blobs", g.post), nil
	}
}

// --- listing files ---------------------------------------------------------

// fewFiles and manyFiles are how many files there are behind the pages that are
// compared.
const (
	fewFiles  = 10_000
	manyFiles = 1_000_000
)

// listFiles compares pages of files among many with pages among few: at gateways of
// their own, whose files were imported from a list.
func listFiles(served bool, many int) func(context.Context, *lab, int) (*gateway, side, side, error) {
	return func(ctx context.Context, l *lab, connections int) (*gateway, side, side, error) {
		none := side{}
		large, err := l.startWithFiles(ctx, served, many)
		if err != nil {
			return nil, none, none, err
		}
		l.atEnd(large.stop)
		small, err := l.startWithFiles(ctx, served, fewFiles)
		if err != nil {
			return nil, none, none, err
		}
		l.atEnd(small.stop)
		ours, err := large.pages(ctx, many)
		if err != nil {
			return nil, none, none, err
		}
		theirs, err := small.pages(ctx, fewFiles)
		if err != nil {
			return nil, none, none, err
		}
		return large, readSide("gateway", large.address, connections, ours),
			readSide(fmt.Sprintf("that among %d", fewFiles), small.address, connections, theirs), nil
	}
}

// startWithFiles starts a gateway with a new index that so many files were imported
// into.
func (l *lab) startWithFiles(ctx context.Context, served bool, files int) (*gateway, error) {
	data, err := os.MkdirTemp(l.dir, "data-")
	if err != nil {
		return nil, err
	}
	list := filepath.Join(data, "list.jsonl")
	if err := writeList(list, files); err != nil {
		return nil, err
	}
	settings := []string{"CAS_DATA_DIR=" + data}
	token := ""
	if served {
		s, err := l.services(ctx)
		if err != nil {
			return nil, err
		}
		if s.databaseURL, err = l.makeDatabase(ctx, os.Getenv("CAS_TEST_DATABASE_URL"), fmt.Sprintf("casgate_bench_list_%d", numbers.Add(1))); err != nil {
			return nil, err
		}
		settings = append(settings, s.settings()...)
		if token, err = l.prepareIndex(ctx, settings); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(l.progress, "bench: importing %d files\n", files)
	env := cleanEnvironment(append(settings, "CAS_SOURCE_DIR="+data)...)
	if _, err := output(ctx, "", env, l.binary, "import", "--from-jsonl="+list, "--quiet"); err != nil {
		return nil, err
	}
	if !served {
		return l.startEmbedded(ctx, data)
	}
	g, err := l.startGateway(ctx, data, settings[1:])
	if err == nil {
		g.token = token
	}
	return g, err
}

// writeList writes a list of files for an import.
func writeList(path string, files int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	first := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range files {
		fmt.Fprintf(w, `{"id":"00000000-0000-4000-8000-%012d","storage_path":"old/%08d.pdf","original_name":"report-%08d.pdf","mime_type":"application/pdf","size_bytes":%d,"file_type":"batch","created_at":%q}`+"\n",
			i, i, i, 1_000_000+i%1000, first.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	return w.Flush()
}

// pages are the requests for pages of a hundred files: the first, the newest, and one
// from the middle.
func (g *gateway) pages(ctx context.Context, files int) ([]call, error) {
	middle := fmt.Sprintf("file-00000000000040008000%012d", files/2) // as writeList names them
	var calls []call
	for _, query := range []string{"?limit=100&order=asc", "?limit=100", "?limit=100&order=asc&after=" + middle} {
		c := call{request: get(g.address, "/v1/files"+query, g.authorization()), status: http.StatusOK}
		page, err := g.page(ctx, query)
		if err != nil {
			return nil, err
		}
		if page != 100 {
			return nil, fmt.Errorf("the page %s has %d files", query, page)
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// page counts the files of a page.
func (g *gateway) page(ctx context.Context, query string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.address+"/v1/files"+query, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var page struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		return 0, fmt.Errorf("GET /v1/files%s: %d: %w", query, res.StatusCode, err)
	}
	return len(page.Data), nil
}

// --- backfill --------------------------------------------------------------

// backfillRun compares `cas backfill` of many small objects with reading and writing
// the same with an S3 client, as many at a time: from one bucket of MinIO to another.
type backfillRun struct {
	objects     int
	concurrency int
}

func (backfillRun) name() string { return "backfill" }
func (b backfillRun) what() string {
	return fmt.Sprintf("cas backfill, %d objects of 4 KiB, served", b.objects)
}

// run measures both in turns, each time with new objects.
func (b backfillRun) run(ctx context.Context, l *lab) result {
	r := result{Name: b.name(), What: b.what(), Connections: b.concurrency, Unit: unitRequests, Target: 0.7, Yardstick: "minio-go"}
	s, err := l.services(ctx)
	if err != nil {
		return r.failed(err)
	}
	for range l.rounds {
		ours, err := b.backfill(ctx, l, s)
		if err != nil {
			return r.failed(err)
		}
		theirs, err := b.rewrite(ctx, s)
		if err != nil {
			return r.failed(fmt.Errorf("minio-go: %w", err))
		}
		r.Gateway.Samples = append(r.Gateway.Samples, ours)
		r.Reference.Samples = append(r.Reference.Samples, theirs)
	}
	r.compare()
	return r
}

// seed puts new objects into the yardstick's bucket, in a folder of their own.
func (b backfillRun) seed(ctx context.Context, s services) (folder string, contents []*content, err error) {
	folder = fmt.Sprintf("old-%d", numbers.Add(1))
	for range b.objects {
		contents = append(contents, newContent(small))
	}
	return folder, contents, b.each(ctx, func(ctx context.Context, i int) error {
		_, err := s.client.PutObject(ctx, s.direct, oldKey(folder, i), contents[i].reader(), small, minio.PutObjectOptions{DisableMultipart: true})
		return err
	})
}

func oldKey(folder string, i int) string { return fmt.Sprintf("%s/%08d", folder, i) }

// each does something with each object, as many at a time as the backfill.
func (b backfillRun) each(ctx context.Context, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(b.concurrency)
	for i := range b.objects {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

// backfill returns how many objects the command takes in a second.
func (b backfillRun) backfill(ctx context.Context, l *lab, s services) (float64, error) {
	folder, contents, err := b.seed(ctx, s)
	if err != nil {
		return 0, err
	}
	data, err := os.MkdirTemp(l.dir, "data-")
	if err != nil {
		return 0, err
	}
	env := cleanEnvironment(append(s.settings(), "CAS_DATA_DIR="+data,
		"CAS_SOURCE_S3_ENDPOINT="+s.endpoint, "CAS_SOURCE_S3_BUCKET="+s.direct, "CAS_SOURCE_S3_PREFIX="+folder,
		"CAS_SOURCE_S3_ACCESS_KEY="+s.accessKey, "CAS_SOURCE_S3_SECRET_KEY="+s.secretKey)...)
	if _, err := output(ctx, "", env, l.binary, "import", "--from-bucket", "--quiet"); err != nil {
		return 0, err
	}
	begin := time.Now()
	answer, err := output(ctx, "", env, l.binary, "backfill", "--json", "--quiet", fmt.Sprintf("--concurrency=%d", b.concurrency))
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	var counts struct {
		Taken int `json:"taken"`
	}
	if err := json.Unmarshal([]byte(answer), &counts); err != nil || counts.Taken != b.objects {
		return 0, fmt.Errorf("the backfill took in %d of %d: %s", counts.Taken, b.objects, answer)
	}
	g, err := l.served(ctx)
	if err != nil {
		return 0, err
	}
	if err := g.do(ctx, g.read(contents[len(contents)-1])); err != nil {
		return 0, fmt.Errorf("read the stored files back: %w", err)
	}
	return float64(b.objects) / took.Seconds(), nil
}

// rewrite returns how many objects a second are read and written again under their
// digests by an S3 client alone.
func (b backfillRun) rewrite(ctx context.Context, s services) (float64, error) {
	folder, _, err := b.seed(ctx, s)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = b.each(ctx, func(ctx context.Context, i int) error {
		object, err := s.client.GetObject(ctx, s.direct, oldKey(folder, i), minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer object.Close()
		var whole bytes.Buffer
		if _, err := whole.ReadFrom(object); err != nil {
			return err
		}
		key := "rewritten/" + cas.ObjectRef{Digest: cas.DigestOf(whole.Bytes())}.Key()
		_, err = s.client.PutObject(ctx, s.direct, key, &whole, int64(whole.Len()), minio.PutObjectOptions{DisableMultipart: true})
		return err
	})
	return float64(b.objects) / time.Since(begin).Seconds(), err
}
