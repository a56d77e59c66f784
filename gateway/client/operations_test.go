package client_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

func TestFiltersOfRecordsAreSent(t *testing.T) {
	t.Parallel()
	var got url.Values
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.URL.Query()
		answerJSON(w, 200, api.RecordPage{Operations: []api.Record{{ID: "1"}}, Newest: "7", Lost: 3})
	})
	d := cas.DigestOf([]byte("x"))
	at := time.Date(2026, 11, 21, 20, 0, 0, 5000, time.UTC)
	page, err := c.Records(t.Context(), client.RecordOptions{
		Kind: "sync", Actor: "token:a", Digest: &d, FileID: "file-1", Provider: "kimi", Outcome: "ok",
		Since: at, Until: at.Add(time.Hour), Limit: 5, After: "a", Following: "f",
	})
	if err != nil || page.Lost != 3 || page.Newest != "7" || len(page.Operations) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	want := url.Values{
		"kind": {"sync"}, "actor": {"token:a"}, "digest": {d.String()}, "file": {"file-1"}, "provider": {"kimi"}, "outcome": {"ok"},
		"since": {"2026-11-21T20:00:00.000005Z"}, "until": {"2026-11-21T21:00:00.000005Z"}, "limit": {"5"}, "after": {"a"}, "following": {"f"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Records(t.Context(), client.RecordOptions{}); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRecordsSinceGathersPages(t *testing.T) {
	t.Parallel()
	pages := map[string]api.RecordPage{
		"":  {Operations: []api.Record{{ID: "5"}, {ID: "4"}}, Next: "4", Newest: "5", Lost: 1},
		"4": {Operations: []api.Record{{ID: "3"}, {ID: "2"}}, Next: "2", Newest: "3", Lost: 9},
		"2": {Operations: []api.Record{{ID: "1"}}, Newest: "1"},
	}
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("following") != "0" || r.URL.Query().Get("kind") != "sync" {
			t.Errorf("%s", r.URL)
		}
		answerJSON(w, 200, pages[r.URL.Query().Get("after")])
	})
	found, err := c.RecordsSince(t.Context(), "0", client.RecordOptions{Kind: "sync", After: "what was there before", Limit: 1})
	var ids []string
	for _, r := range found.Records {
		ids = append(ids, r.ID)
	}
	if err != nil || found.Newest != "5" || found.Lost != 1 || strings.Join(ids, "") != "12345" {
		t.Errorf("%v, newest %q, %d lost, %v", ids, found.Newest, found.Lost, err)
	}
}

func TestRecordsSinceGivesUpOnPagesThatRepeat(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, 200, api.RecordPage{Next: "again"}) })
	if found, err := c.RecordsSince(t.Context(), "7", client.RecordOptions{}); err == nil || found.Newest != "7" {
		t.Errorf("%q, %v", found.Newest, err)
	}
}

// If another operation replaced this one on its copy, only the record is left. A
// client that waits for the copy asks again.
func TestEnsureAsksAgainWhereOnlyTheRecordIsLeft(t *testing.T) {
	t.Parallel()
	asked := 0
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/operations/"):
			answerJSON(w, 200, api.Operation{ID: "op", Kind: "sync", Status: api.OperationSucceeded, Record: &api.Record{ID: "op"}})
		case asked == 0:
			asked++
			answerJSON(w, 202, api.Copy{State: "pending", OperationID: "op"})
		default:
			answerJSON(w, 200, api.Copy{State: "ready", ProviderFileID: "file_1"})
		}
	})
	d := cas.DigestOf([]byte("x"))
	if made, err := c.Blob(d).EnsureCopy(t.Context(), "kimi", client.EnsureOptions{}); err != nil || made.ProviderFileID != "file_1" {
		t.Errorf("%+v, %v", made, err)
	}
	asked = 0
	if _, err := c.Blob(d).ReportLost(t.Context(), "kimi", "", client.CopyOptions{}); !errors.Is(err, problem.OperationNotFound) {
		t.Errorf("%v", err)
	}
}
