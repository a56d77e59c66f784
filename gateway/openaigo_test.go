package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/problem"
)

// openAI returns OpenAI's own client, with nothing changed but its base URL and
// key.
func (s *server) openAI(options ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{option.WithBaseURL(s.url + "/v1"), option.WithAPIKey(s.token)}, options...)...)
}

func wantAPIError(t *testing.T, err error, status int, code problem.Code, param string) *openai.Error {
	t.Helper()
	e, ok := errors.AsType[*openai.Error](err)
	if !ok || e.StatusCode != status || e.Code != string(code) || e.Param != param || e.Message == "" || e.Type == "" {
		t.Fatalf("want %d %s about %q, got %v: %+v", status, code, param, err, e)
	}
	return e
}

func TestOpenAIsGoClient(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		c := s.openAI()
		ctx := t.Context()
		content := random(2 << 20)
		// It sends the file before the purpose.
		made, err := c.Files.New(ctx, openai.FileNewParams{
			File: openai.File(bytes.NewReader(content), "Größe, \"1\".jsonl", "application/jsonl"), Purpose: openai.FilePurposeBatch,
			ExpiresAfter: openai.FileNewParamsExpiresAfter{Seconds: 3600},
		})
		if err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 deprecated, but programs still wait for it
		if made.Filename != "Größe, \"1\".jsonl" || made.Bytes != 2<<20 || made.Purpose != "batch" || made.Status != "processed" || made.Object != "file" || made.ExpiresAt < made.CreatedAt+3590 {
			t.Errorf("%+v", made)
		}
		if got := made.JSON.ExtraFields["sha256"].Raw(); got != strconv.Quote(cas.DigestOf(content).Hex()) {
			t.Errorf("sha256 %s", got)
		}
		params := openai.FileNewParams{File: strings.NewReader("no name"), Purpose: openai.FilePurposeEvals}
		// Of extra fields it sends only texts.
		params.SetExtraFields(map[string]any{"tags": "a,b", "metadata": `{"k":"v"}`, "context": "talk"})
		more, err := c.Files.New(ctx, params)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := s.client().File(more.ID).Meta(ctx); err != nil || f.Context != "talk" || len(f.Tags) != 2 || string(f.Metadata) != `{"k":"v"}` && string(f.Metadata) != `{"k": "v"}` {
			t.Errorf("%+v, %v", f, err)
		}

		got, err := c.Files.Get(ctx, made.ID)
		if err != nil || got.ID != made.ID || got.CreatedAt != made.CreatedAt {
			t.Errorf("%+v, %v", got, err)
		}
		res, err := c.Files.Content(ctx, made.ID)
		if err != nil {
			t.Fatal(err)
		}
		back, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !bytes.Equal(back, content) {
			t.Errorf("%d bytes, %v", len(back), err)
		}
		gone, err := c.Files.Delete(ctx, made.ID)
		if err != nil || !gone.Deleted || gone.ID != made.ID || gone.Object != "file" {
			t.Errorf("%+v, %v", gone, err)
		}

		_, err = c.Files.Get(ctx, made.ID)
		wantAPIError(t, err, 404, problem.FileNotFound, "id")
		_, err = c.Files.Content(ctx, made.ID)
		wantAPIError(t, err, 404, problem.FileNotFound, "id")
		_, err = c.Files.List(ctx, openai.FileListParams{After: openai.String("file-absent")})
		wantAPIError(t, err, 400, problem.InvalidRequest, "after")
		for n := range 7 {
			s.newFile(fmt.Sprintf("evals%d.txt", n), "x")
		}
		deleted := 0
		for pages := c.Files.ListAutoPaging(ctx, openai.FileListParams{Limit: openai.Int(3), Purpose: openai.String("user_data")}); pages.Next(); deleted++ {
			if _, err := c.Files.Delete(ctx, pages.Current().ID); err != nil {
				t.Fatal(err)
			}
		}
		if left, err := c.Files.List(ctx, openai.FileListParams{Purpose: openai.String("user_data")}); err != nil || len(left.Data) != 0 || deleted < 7 {
			t.Errorf("deleted %d files while paging; left are %v, %v", deleted, left, err)
		}
		_, err = c.Files.List(ctx, openai.FileListParams{Limit: openai.Int(0)})
		wantAPIError(t, err, 400, problem.InvalidRequest, "limit")
		_, err = c.Files.New(ctx, openai.FileNewParams{File: strings.NewReader("x"), Purpose: "dance"})
		wantAPIError(t, err, 400, problem.InvalidRequest, "purpose")
		_, err = c.Files.Get(ctx, more.ID, option.WithAPIKey("cas_wrong_key"))
		wantAPIError(t, err, 401, problem.Unauthenticated, "")
		_, err = c.Files.Delete(ctx, more.ID, option.WithAPIKey(s.newToken(access.ScopeRead)))
		wantAPIError(t, err, 403, problem.Forbidden, "")
		_, err = c.FineTuning.Jobs.List(ctx, openai.FineTuningJobListParams{})
		wantAPIError(t, err, 404, problem.NotFound, "")
		duplicate := openai.FileNewParams{File: strings.NewReader("no name"), Purpose: openai.FilePurposeEvals}
		duplicate.SetExtraFields(map[string]any{"allow_duplicates": "false"})
		var answers atomic.Int64
		_, err = c.Files.New(ctx, duplicate, option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			answers.Add(1)
			return next(r)
		}))
		if e := wantAPIError(t, err, 409, problem.DuplicateFile, ""); !strings.Contains(e.RawJSON(), more.ID) || answers.Load() != 1 {
			t.Errorf("after %d attempts: %s", answers.Load(), e.RawJSON())
		}
		wantNoPanic(t, s)
	})
}

// It pages through all files, however many there are on a page, without loss or
// loop.
func TestOpenAIsGoClientPages(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		c := s.openAI()
		few := p.importMany(t, volume(300, 60), "evals")
		most := p.importMany(t, volume(4700, 340), "batch")
		var all []string
		list, err := p.index.ListFiles(t.Context(), cas.FileQuery{Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			all = append(all, f.ID)
		}
		if len(all) != len(few)+len(most) {
			t.Fatalf("%d files", len(all))
		}
		for _, tt := range []struct {
			limit   int64 // 0: none named
			purpose string
			want    []string
		}{{1, "evals", few}, {7, "", all}, {100, "batch", most}, {100, "", all}, {0, "", all}} {
			for _, order := range []openai.FileListParamsOrder{"asc", "desc"} {
				params := openai.FileListParams{Order: order}
				if tt.limit > 0 {
					params.Limit = openai.Int(tt.limit)
				}
				if tt.purpose != "" {
					params.Purpose = openai.String(tt.purpose)
				}
				pages := c.Files.ListAutoPaging(t.Context(), params)
				var got []string
				for pages.Next() && len(got) <= len(tt.want) {
					got = append(got, pages.Current().ID)
				}
				if order == "desc" {
					slices.Reverse(got)
				}
				if err := pages.Err(); err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("limit %d, %s, purpose %q: %d of %d files, %v", tt.limit, order, tt.purpose, len(got), len(tt.want), err)
				}
			}
		}
	})
}

// The client retries by itself if the gateway is unavailable for a moment.
func TestOpenAIsGoClientTriesAgain(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), func(o *gatewayOptions, _ *cas.Options) { o.MaxUploads = 1 })
	leave := s.occupy(t)
	var statuses []int
	c := s.openAI()
	made, err := c.Files.New(t.Context(), openai.FileNewParams{File: strings.NewReader("tried again"), Purpose: "batch"},
		option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			res, err := next(r)
			if err == nil {
				if statuses = append(statuses, res.StatusCode); len(statuses) == 1 {
					leave()
				}
			}
			return res, err
		}))
	if err != nil || made.Bytes != 11 || !slices.Equal(statuses, []int{503, 200}) {
		t.Errorf("%v after %v", err, statuses)
	}
}
