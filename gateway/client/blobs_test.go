package client_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
)

func number(n int) (d cas.Digest) {
	binary.BigEndian.PutUint64(d[:], uint64(n))
	return d
}

// pages serves three pages of two blobs.
func pages(queries *[]url.Values) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*queries = append(*queries, r.URL.Query())
		page, _ := strconv.Atoi(r.URL.Query().Get("after")) // none is 0
		answer := api.BlobPage{Blobs: []api.Blob{{Digest: number(2 * page)}, {Digest: number(2*page + 1)}}}
		if page < 2 {
			answer.Next = strconv.Itoa(page + 1)
		}
		answerJSON(w, 200, answer)
	}
}

func TestList(t *testing.T) {
	var queries []url.Values
	c := newClient(t, pages(&queries))
	o := client.BlobListOptions{MediaType: "text/plain", MinSize: 1, MaxSize: new(int64(0)), PageSize: 2}
	n := 0
	for blob, err := range c.Blobs(t.Context(), o) {
		if err != nil || blob.Digest != number(n) {
			t.Fatalf("blob %d is %v, %v", n, blob.Digest, err)
		}
		n++
	}
	filter := func(after ...string) url.Values {
		q := url.Values{"media_type": {"text/plain"}, "min_size": {"1"}, "max_size": {"0"}, "limit": {"2"}}
		if after != nil {
			q["after"] = after
		}
		return q
	}
	if diff := cmp.Diff([]url.Values{filter(), filter("1"), filter("2")}, queries); n != 6 || diff != "" {
		t.Errorf("%d blobs; queries (-want +got):\n%s", n, diff)
	}
}

func TestListAsksForNoPageThatIsNotNeeded(t *testing.T) {
	var queries []url.Values
	c := newClient(t, pages(&queries))
	list := c.Blobs(t.Context(), client.BlobListOptions{})
	for range 2 { // each range begins anew
		for range list {
			break
		}
	}
	if diff := cmp.Diff([]url.Values{{}, {}}, queries); diff != "" {
		t.Errorf("queries (-want +got):\n%s", diff)
	}
}

func TestListThatTurnsInCircles(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, api.BlobPage{Next: "here"}) })
	errs := 0
	for _, err := range c.Blobs(t.Context(), client.BlobListOptions{}) {
		if errs++; err == nil || !strings.Contains(err.Error(), "again and again") {
			t.Error(err)
		}
	}
	if errs != 1 {
		t.Errorf("%d errors", errs)
	}
}

func TestFindMissingSplits(t *testing.T) {
	var sizes []int
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		var req api.FindMissing
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(req.Digests))
		answerJSON(w, 200, api.Missing{Missing: req.Digests[:1]})
	})
	var digests []cas.Digest
	for i := range 2500 {
		digests = append(digests, number(i))
	}
	missing, err := c.FindMissing(t.Context(), digests)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{1000, 1000, 500}) || !slices.Equal(missing, []cas.Digest{number(0), number(1000), number(2000)}) {
		t.Errorf("requests of %v, missing %v", sizes, missing)
	}
	if missing, err := c.FindMissing(t.Context(), nil); err != nil || missing != nil || len(sizes) != 3 {
		t.Errorf("of none: %v, %v, %d requests", missing, err, len(sizes)-3)
	}
}

func TestDeleteAndSign(t *testing.T) {
	var requests []string
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		var body api.SignURL
		_ = json.NewDecoder(r.Body).Decode(&body) // a DELETE has none
		requests = append(requests, r.Method+" "+strings.TrimPrefix(r.URL.String(), "/v1/blobs/"+digest.String())+" "+strconv.FormatInt(body.ExpiresIn, 10))
		if r.Method == http.MethodDelete {
			answerJSON(w, 202, api.Deleted{})
		} else {
			answerJSON(w, 200, api.SignedURL{URL: "http://signed"})
		}
	})
	for _, force := range []bool{false, true} {
		if err := c.Blob(digest).Delete(t.Context(), client.DeleteOptions{Force: force}); err != nil {
			t.Error(err)
		}
	}
	if signed, err := c.Blob(digest).SignURL(t.Context(), 90*time.Second); err != nil || signed.URL != "http://signed" {
		t.Errorf("got %v, %v", signed, err)
	}
	if diff := cmp.Diff([]string{"DELETE  0", "DELETE ?force=true 0", "POST /url 90"}, requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestReady(t *testing.T) {
	health := api.Health{Status: "ok"}
	status := 200
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s with headers %v", r.URL, r.Header)
		}
		answerJSON(w, status, health)
	})
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	status, health = 503, api.Health{Status: "unavailable", Checks: map[string]string{"store": "unavailable", "index": "ok"}}
	if err := c.Ready(t.Context()); !errors.Is(err, client.ErrNotReady) || !strings.Contains(err.Error(), "store: unavailable") || strings.Contains(err.Error(), "index") {
		t.Error(err)
	}
}

func TestParseBlobURL(t *testing.T) {
	path := "/v1/blobs/" + digest.String()
	for text, want := range map[string]client.BlobURL{
		"http://host" + path:                                 {Base: "http://host", Digest: digest},
		"https://host:1/pre/fix" + path + "?download=x":      {Base: "https://host:1/pre/fix", Digest: digest},
		"http://host" + path + "?signature=s#part":           {Base: "http://host", Digest: digest, Signature: url.Values{"signature": {"s"}}},
		"http://host" + path + "?signature=s&download=x.pdf": {Base: "http://host", Digest: digest, Signature: url.Values{"signature": {"s"}, "download": {"x.pdf"}}},
	} {
		if got, err := client.ParseBlobURL(text); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "http://host", "http://host" + path + "/meta", "http://host/v1/blobs/" + digest.Hex(), "ftp://host" + path, "http://user:verysecret@host" + path, path, "http://%zz" + path} {
		got, err := client.ParseBlobURL(text)
		if err == nil {
			t.Errorf("%s is taken for %v", text, got)
		} else if strings.Contains(err.Error(), "verysecret") {
			t.Errorf("the error repeats a secret: %v", err)
		}
	}
}
