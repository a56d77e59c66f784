package gateway_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/problem"
)

func TestOperationsAreFilteredAndPaged(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		other := s.newToken(access.ScopeRead, access.ScopeWrite)
		var digests []cas.Digest
		for range 5 {
			digests = append(digests, s.put(random(10)))
		}
		middle := time.Now()
		for _, d := range digests {
			s.do("GET", s.path(d), nil, "Authorization", "Bearer "+other)
		}
		s.do("GET", s.path(cas.DigestOf([]byte("none"))), nil)
		eventually(t, "all to be stored", func() bool { return s.journal.Stored() == 11 })
		list := func(query string) []api.Record {
			t.Helper()
			var all []api.Record
			after := ""
			for {
				a := s.do("GET", "/v1/operations?"+query+after, nil)
				if a.StatusCode != 200 {
					t.Fatalf("%s: %d %s", query, a.StatusCode, a.body)
				}
				page := decode[api.RecordPage](t, a)
				all = append(all, page.Operations...)
				if page.Next == "" {
					return all
				}
				after = "&after=" + url.QueryEscape(page.Next)
			}
		}
		whole := list("")
		at := url.QueryEscape(middle.Format(time.RFC3339Nano))
		for query, want := range map[string]int{
			"": 11, "kind=upload": 5, "kind=download": 6, "kind=scrub": 0, "actor=" + actor(other): 5, "actor=" + actor(s.token): 6, "actor=x": 0,
			"digest=" + digests[2].String(): 2, "outcome=failed": 1, "outcome=broken-off": 0, "provider=kimi": 0, "file=file-x": 0,
			"since=" + at: 6, "until=" + at: 5, "since=" + at + "&until=" + at: 0, "kind=download&outcome=ok&actor=" + actor(other) + "&digest=" + digests[0].String(): 1,
		} {
			for _, limit := range []string{"", "&limit=1", "&limit=4", "&limit=1000"} {
				got := list(query + limit)
				if len(got) != want {
					t.Errorf("%s%s: %d records, want %d", query, limit, len(got), want)
				}
				if query == "" && cmp.Diff(got, whole) != "" {
					t.Errorf("%s: in another order", limit)
				}
			}
		}
		if !slices.IsSortedFunc(whole[:6], func(a, b api.Record) int { return b.StartedAt.Compare(a.StartedAt) }) {
			t.Error("the newest don't come first")
		}
		// Following, from an empty beginning and from a place.
		page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=delete", nil))
		if len(page.Operations) != 0 || page.Newest != "0" {
			t.Errorf("%+v", page)
		}
		newest := decode[api.RecordPage](t, s.do("GET", "/v1/operations?limit=1", nil)).Newest
		if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?following="+newest, nil)); len(page.Operations) != 0 || page.Newest != newest {
			t.Errorf("%+v", page)
		}
		s.put(random(10))
		s.do("DELETE", s.path(digests[0]), nil)
		eventually(t, "two more", func() bool { return s.journal.Stored() == 13 })
		if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?following="+newest, nil)); len(page.Operations) != 2 || page.Operations[0].Kind != "delete" {
			t.Errorf("%+v", page)
		}
		if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=delete&following=0", nil)); len(page.Operations) != 1 {
			t.Errorf("%+v", page)
		}
		// Each operation can be looked up by its own values, and by no others.
		o := decode[api.Operation](t, s.do("GET", "/v1/operations/"+whole[0].ID, nil))
		if o.ID != whole[0].ID || o.Kind != "download" || o.Status != "failed" || o.Error.Code != problem.BlobNotFound || o.Record.Actor != actor(s.token) {
			t.Errorf("%+v", o)
		}
		o = decode[api.Operation](t, s.do("GET", "/v1/operations/"+whole[10].ID, nil))
		if o.Kind != "upload" || o.Status != "succeeded" || o.Error != nil || *o.Record.Digest != digests[0] {
			t.Errorf("%+v", o)
		}
		for _, bad := range []string{
			"limit=0", "limit=1001", "limit=x", "kind=nothing", "outcome=bad", "since=yesterday", "until=1", "since=0001-01-01T00:00:00Z", "after=-1", "after=!", "following=%00",
			"actor=%00", "actor=%ff", "file=" + strings.Repeat("x", 300), "kind=upload&kind=delete",
		} {
			a := s.do("GET", "/v1/operations?"+bad, nil)
			a.wantProblem(t, 400, problem.InvalidRequest)
			wantParam(t, a, bad)
		}
		s.do("GET", "/v1/operations?digest=abc", nil).wantProblem(t, 400, problem.InvalidDigest)
		s.do("GET", "/v1/operations", nil, "Authorization", "-").wantProblem(t, 401, problem.Unauthenticated)
		s.do("GET", "/v1/operations", nil, "Authorization", "Bearer "+s.newToken(access.ScopeWrite)).wantProblem(t, 403, problem.Forbidden)
		s.do("GET", "/v1/operations", nil, "Authorization", "Bearer "+other)
		wantNoPanic(t, s)
	})
}

func TestActorsWithoutTokens(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		b := []byte("for everybody")
		d := cas.DigestOf(b)
		for who, change := range map[string]func(*gatewayOptions, *cas.Options){
			"none":   func(o *gatewayOptions, _ *cas.Options) { o.NoAuth = true },
			"public": func(o *gatewayOptions, _ *cas.Options) { o.PublicRead = true },
		} {
			s := start(t, p, change)
			s.put(b)
			s.do("GET", s.path(d), nil, "Authorization", "-")
			eventually(t, "both to be stored", func() bool { return s.journal.Stored() == 2 })
			if page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=download&actor="+who, nil)); len(page.Operations) != 1 {
				t.Errorf("%s: %+v", who, page)
			}
		}
	})
}

// Public reads by a known token, or by a signed URL, are those of the token and the URL.
func TestActorsOfPublicReads(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.PublicRead = true })
		b := []byte("for everybody, and some are known")
		s.put(b)
		signed := decode[api.SignedURL](t, s.do("POST", s.path(cas.DigestOf(b))+"/url", strings.NewReader(`{"expires_in":60}`))).URL
		for _, a := range []answer{
			s.do("GET", s.path(cas.DigestOf(b)), nil),
			s.do("GET", signed[strings.Index(signed, "/v1/"):], nil, "Authorization", "-"),
			s.do("GET", s.path(cas.DigestOf(b)), nil, "Authorization", "Bearer cas_wrong"),
		} {
			if a.StatusCode != http.StatusOK {
				t.Errorf("a read: %d", a.StatusCode)
			}
		}
		for _, actor := range []string{"token:", "url", "public"} {
			eventually(t, "the read by "+actor, func() bool {
				page := decode[api.RecordPage](t, s.do("GET", "/v1/operations?kind=download", nil))
				return slices.ContainsFunc(page.Operations, func(r api.Record) bool { return strings.HasPrefix(r.Actor, actor) })
			})
		}
	})
}

// A gateway without a journal works like any other, and shows the records of others.
func TestWithoutAJournal(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s := start(t, p, nil)
		silent := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.Journal = nil })
		s.put([]byte("recorded"))
		silent.put([]byte("unrecorded"))
		eventually(t, "the record", func() bool { return s.journal.Stored() == 1 })
		for _, at := range []*server{s, silent} {
			if page := decode[api.RecordPage](t, at.do("GET", "/v1/operations", nil)); len(page.Operations) != 1 || page.Lost != 0 {
				t.Errorf("%+v", page)
			}
		}
		none := start(t, p, func(o *gatewayOptions, _ *cas.Options) { o.Journal, o.Records = nil, nil })
		if page := decode[api.RecordPage](t, none.do("GET", "/v1/operations", nil)); len(page.Operations) != 0 {
			t.Errorf("%+v", page)
		}
		none.do("GET", "/v1/operations/"+newID(), nil).wantProblem(t, 404, problem.OperationNotFound)
	})
}

// wantParam fails the test unless an error names the first parameter of the query.
func wantParam(t *testing.T, a answer, query string) {
	t.Helper()
	name, _, _ := strings.Cut(query, "=")
	if e := decode[api.ErrorAnswer](t, a).Error; e.Param == nil || *e.Param != name {
		t.Errorf("%s: the error does not name the parameter: %s", query, a.body)
	}
}
