package gateway_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/problem"
)

// importMany makes many files in a few calls, a hundred of them in the same
// instant, and returns their ids as they are listed in ascending order.
func (p *parts) importMany(t *testing.T, n int, purpose string) []string {
	t.Helper()
	files := make([]cas.File, n)
	began := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range files {
		files[i] = cas.File{
			ID: cas.NewFileID(), Size: int64(i), Name: fmt.Sprintf("%05d.txt", i), Purpose: purpose, MediaType: "text/plain",
			CreatedAt: began.Add(time.Duration(i/100) * time.Second),
			Origin:    &cas.Origin{Source: "nowhere", Key: fmt.Sprint(i)},
		}
	}
	for chunk := range slices.Chunk(files, 100) {
		stored, err := p.index.ImportFiles(t.Context(), chunk, cas.ImportFilesOptions{})
		if err != nil || len(stored) != len(chunk) {
			t.Fatalf("%d of %d, %v", len(stored), len(chunk), err)
		}
	}
	slices.SortFunc(files, func(a, b cas.File) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	ids := make([]string, n)
	for i, f := range files {
		ids[i] = f.ID
	}
	return ids
}

func TestPagesOfFiles(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		if list := s.listFiles(nil); list.Object != "list" || list.Data == nil || len(list.Data) != 0 || list.FirstID != nil || list.LastID != nil || list.HasMore {
			t.Errorf("none: %+v", list)
		}
		ids := p.importMany(t, 1234, "batch")
		for _, limit := range []string{"7", "100", "500", "617", "1000", "1234", "10000", ""} {
			for _, order := range []string{"asc", "desc", ""} {
				query := url.Values{"limit": {limit}, "order": {order}}
				var got []string
				for pages := 0; ; pages++ {
					list := s.listFiles(query)
					for _, f := range list.Data {
						got = append(got, f.ID)
					}
					if len(list.Data) == 0 || *list.FirstID != list.Data[0].ID || *list.LastID != list.Data[len(list.Data)-1].ID {
						t.Fatalf("limit %s, %s: %v to %v of %d", limit, order, list.FirstID, list.LastID, len(list.Data))
					}
					if !list.HasMore || pages > len(ids) {
						break
					}
					query.Set("after", *list.LastID)
				}
				if order != "asc" {
					slices.Reverse(got)
				}
				if !slices.Equal(got, ids) {
					t.Errorf("limit %s, %s: %d files, not the %d there are", limit, order, len(got), len(ids))
				}
			}
		}
		wantNoPanic(t, s)
	})
}

func TestFiltersOfFiles(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		s.newFile("a.txt", "a", field("tags", "x,y"), field("context", "talk"), field("metadata", `{"n": {"k": [1, 2]}, "s": "v"}`))
		s.newFile("ab.txt", "b", field("tags", "y"))
		body, mediaType := formOf(t, filePart("b.txt", "b"), field("purpose", "vision"))
		s.do("POST", "/v1/files", body, "Content-Type", mediaType)
		for query, want := range map[string]string{
			"":                  "a.txt ab.txt b.txt",
			"purpose=vision":    "b.txt",
			"purpose=user_data": "a.txt ab.txt",
			"purpose=batch":     "",
			"tag=y":             "a.txt ab.txt",
			"tag=x":             "a.txt",
			"tag=absent's":      "",
			"context=talk":      "a.txt",
			"name_prefix=a":     "a.txt ab.txt",
			"name_prefix=ab":    "ab.txt",
			"name_prefix=%25":   "",
			"sha256=" + cas.DigestOf([]byte("b")).Hex():          "ab.txt b.txt",
			"digest=" + cas.DigestOf([]byte("a")).String():       "a.txt",
			`metadata={"s":"v"}`:                                 "a.txt",
			`metadata={"n":{"k":[2]}}`:                           "a.txt",
			`metadata={"n":{"k":[3]}}`:                           "",
			`metadata={}`:                                        "a.txt ab.txt b.txt",
			"tag=y&name_prefix=a&context=":                       "a.txt ab.txt",
			"tag=y&digest=" + cas.DigestOf([]byte("b")).String(): "ab.txt",
		} {
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			values.Set("order", "asc")
			if got := namesOf(s.listFiles(values)); got != want {
				t.Errorf("%s: %q, not %q", query, got, want)
			}
			// A full last page differs from a page with more behind it.
			if n := len(strings.Fields(want)); n > 0 {
				values.Set("limit", fmt.Sprint(n))
				if list := s.listFiles(values); list.HasMore || namesOf(list) != want {
					t.Errorf("%s, a page just as long: %+v", query, list)
				}
			}
		}
		wantNoPanic(t, s)
	})
}

// A client that deletes what it has listed goes on after a file that is gone.
func TestPagingGoesOnAfterADeletedFile(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		for _, order := range []string{"asc", "desc"} {
			var want, got []string
			for n := range 25 {
				want = append(want, s.newFile(fmt.Sprintf("%d.txt", n), "x").ID)
			}
			query := url.Values{"limit": {"10"}, "order": {order}}
			for more := true; more; {
				list := s.listFiles(query)
				for i, f := range list.Data {
					got = append(got, f.ID)
					path := "/v1/files/" + f.ID
					if i%2 == 0 {
						path += "?everywhere=true"
					}
					if a := s.do("DELETE", path, nil); a.StatusCode != 200 {
						t.Fatalf("%d %s", a.StatusCode, a.body)
					}
				}
				if more = list.HasMore; more {
					query.Set("after", *list.LastID)
				}
			}
			if order == "desc" {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d files, not the %d that there were", order, len(got), len(want))
			}
		}
	})
}

func TestWrongQueriesForFiles(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	for query, param := range map[string]string{
		"limit=0":                           "limit",
		"limit=-1":                          "limit",
		"limit=10001":                       "limit",
		"limit=1000000000":                  "limit",
		"limit=99999999999999999999":        "limit",
		"limit=ten":                         "limit",
		"order=random":                      "order",
		"purpose=dance":                     "purpose",
		"after=file-absent":                 "after",
		"after=%00%F0%9F%99%82":             "after",
		"sha256=12":                         "sha256",
		"digest=12":                         "digest",
		"sha256=" + strings.Repeat("0", 64): "sha256",
		"digest=sha256:" + strings.Repeat("0", 64): "digest",
		"metadata=%5B1%5D":                         "metadata",
		"tag=a&tag=b":                              "tag",
		"limit=1&limit=1":                          "limit",
		"metadata=%7B":                             "metadata",
		"metadata=%22x%22":                         "metadata",
	} {
		code := problem.InvalidRequest
		if param == "sha256" || param == "digest" {
			code = problem.InvalidDigest
		}
		e := s.do("GET", "/v1/files?"+query, nil).wantFileError(t, 400, code, param)
		if e.Type != "invalid_request_error" || len(e.Message) > 500 {
			t.Errorf("%s: %+v", query, e)
		}
	}
	a, b := cas.DigestOf([]byte("a")), cas.DigestOf([]byte("b"))
	s.do("GET", "/v1/files?digest="+a.String()+"&sha256="+b.Hex(), nil).wantFileError(t, 400, problem.InvalidRequest, "sha256")
	if same := s.do("GET", "/v1/files?digest="+a.String()+"&sha256="+a.Hex(), nil); same.StatusCode != 200 {
		t.Errorf("the same digest twice: %d %s", same.StatusCode, same.body)
	}
	s.do("GET", "/v1/files?limit=%zz", nil).wantFileError(t, 400, problem.InvalidRequest, "")
	wantNoPanic(t, s)
}

func TestPathsAndMethodsOfFiles(t *testing.T) {
	s := start(t, embedded(t, t.TempDir()), nil)
	id := s.newFile("x.txt", "x").ID
	for path, methods := range map[string]string{
		"/v1/files":                    "PUT PATCH DELETE",
		"/v1/files/" + id:              "PUT PATCH POST",
		"/v1/files/" + id + "/content": "PUT POST DELETE",
	} {
		for method := range strings.FieldsSeq(methods) {
			a := s.do(method, path, nil)
			a.wantFileError(t, 405, problem.MethodNotAllowed, "")
			if a.Header.Get("Allow") == "" {
				t.Errorf("%s %s: no Allow", method, path)
			}
		}
	}
	for _, path := range []string{"/v1/files/", "/v1/files/" + id + "/nothing", "/v1/files/" + id + "/content/x"} {
		if a := s.do("GET", path, nil); a.StatusCode != 404 || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	// A tag that only begins alike does not match.
	s.do("GET", "/v1/filesystem", nil).wantProblem(t, 404, problem.NotFound)
}
