package gateway_test

import (
	"testing"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
)

// Downloads, and requests for a copy that is there, share records. Uploads, copies that are
// made, chats and failures don't. However they are shared, the
// counts, the bytes and the first ids are right.
func TestRepeatedRequestsShareRecords(t *testing.T) {
	chatSetups(t, func(t *testing.T, p *parts) {
		p.journal.Gather = 2 * time.Second
		c := startChat(t, p, nil)
		const times = 20
		b := []byte("read again and again")
		d := c.put(b)
		image, _ := c.newImage("asked about again and again")
		gone := cas.DigestOf([]byte("never stored"))

		type subject struct{ kind, outcome string }
		want := map[subject]int64{{"upload", "ok"}: 2}
		bytesWant, first := map[subject]int64{}, map[string]bool{}
		count := func(kind, outcome string, a answer) {
			s := subject{kind, outcome}
			if want[s]++; want[s] == 1 {
				first[a.Header.Get("X-Request-Id")] = true
			}
		}
		for range times {
			a := c.do("GET", c.path(d), nil)
			count("download", "ok", a)
			bytesWant[subject{"download", "ok"}] += int64(len(b))
			count("download", "failed", c.do("GET", c.path(gone), nil))
			count("sync", "ok", c.do("PUT", c.copyPath(d, "kimi")+"?name=x.png", nil))
			count("chat", "ok", c.askOK(chatOf("kimi/x", filePartOf(image))))
		}

		want[subject{"sync", "ok"}]++ // of the image's copy

		var page api.RecordPage
		got, bytesGot, rows := map[subject]int64{}, map[subject]int64{}, map[subject]int{}
		eventually(t, "all to be recorded", func() bool {
			page = decode[api.RecordPage](t, c.do("GET", "/v1/operations?limit=1000", nil))
			clear(got)
			clear(bytesGot)
			clear(rows)
			for _, r := range page.Operations {
				s := subject{r.Kind, r.Outcome}
				got[s] += max(r.Count, 1)
				bytesGot[s] += r.Bytes
				rows[s]++
			}
			for s, n := range want {
				if got[s] < n {
					return false
				}
			}
			return true
		})
		for s, n := range want {
			if got[s] != n || bytesWant[s] > 0 && bytesGot[s] != bytesWant[s] {
				t.Errorf("%v: %d operations of %d bytes; want %d of %d", s, got[s], bytesGot[s], n, bytesWant[s])
			}
		}
		for _, s := range []subject{{"download", "ok"}, {"sync", "ok"}} {
			if rows[s] >= times {
				t.Errorf("%v: %d records of %d operations", s, rows[s], want[s])
			}
		}
		for _, s := range []subject{{"upload", "ok"}, {"chat", "ok"}, {"download", "failed"}} {
			if int64(rows[s]) != want[s] {
				t.Errorf("%v: %d records of %d operations", s, rows[s], want[s])
			}
		}
		for _, r := range page.Operations {
			if delete(first, r.ID); (r.Count > 1) != (r.LastStartedAt != nil) || r.LastStartedAt != nil && r.LastStartedAt.Before(r.StartedAt) || r.Count == 1 {
				t.Errorf("%+v", r)
			}
			if r.Count > 1 {
				if o := decode[api.Operation](t, c.do("GET", "/v1/operations/"+r.ID, nil)); o.Record == nil || o.Record.Count != r.Count {
					t.Errorf("the operation is %+v", o)
				}
			}
		}
		for id := range first {
			t.Errorf("the first of many, %s, has no record of its own", id)
		}
	})
}
