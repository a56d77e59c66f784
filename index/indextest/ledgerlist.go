package indextest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

var copyTests = []test{
	{"returns rows in every state but deleted ones", func(t *testing.T, x Index) {
		for i, s := range situations {
			w := wanted(t, i)
			s.arrange(t, x, w)
			c, err := x.Copy(t.Context(), w.Key)
			if s.state == "" || s.state == ledger.StateDeleted {
				noCopy(t, s.name, err)
				continue
			}
			if err != nil || c.State != s.state || c.Key != w.Key || c.Name != w.Name || c.MediaType != w.MediaType || c.Size != w.Size {
				t.Errorf("%s: %+v, error %v", s.name, c, err)
			}
			all, err := x.Copies(t.Context(), w.Digest)
			if err != nil || len(all) != 1 {
				t.Fatalf("%s: %d copies, error %v", s.name, len(all), err)
			}
			same(t, s.name+": what Copies returns", all[0], c)
		}
	}},
	{"has times in UTC", func(t *testing.T, x Index) {
		c := complete(t, x, claim(t, x, wanted(t, 0), long), file("1", providers.StatusReady, time.Now().Add(long).In(time.FixedZone("east", 3600))))
		if c.CreatedAt.Location() != time.UTC || c.ReadyAt.Location() != time.UTC || c.ExpiresAt.Location() != time.UTC {
			t.Errorf("its times are %s, %s and %s", c.CreatedAt, c.ReadyAt, c.ExpiresAt)
		}
		if d := time.Since(c.CreatedAt).Abs(); d > 24*time.Hour {
			t.Errorf("created at %s, %v from now", c.CreatedAt, d)
		}
	}},
	{"keeps any UTF-8, and any size", func(t *testing.T, x Index) {
		for i, text := range []string{"", " ", "Größe – 文件", "a\nb\tc\\d'e\"f$1%s{}", "\u202etxt.exe", "😀", "\ufffd"} {
			w := wanted(t, i)
			w.Name, w.MediaType, w.Purpose, w.Extension, w.Provider, w.Size = text, text, text, text, text, 1<<63-1
			c := complete(t, x, claim(t, x, w, long), providers.RemoteFile{ID: "id" + text, Name: text, Status: providers.StatusReady})
			if c.Key != w.Key || c.Name != text || c.MediaType != text || c.FileID != "id"+text || c.RemoteName != text || c.Size != w.Size {
				t.Errorf("%q came back as %+v", text, c)
			}
			asStored(t, x, c)
		}
	}},
	{"tells where there is no row", func(t *testing.T, x Index) {
		noRow(t, func(k ledger.Key) error { _, err := x.Copy(t.Context(), k); return err })
	}},
}

var copiesTests = []test{
	{"lists a blob's copies by creation", func(t *testing.T, x Index) {
		d := digest(t, 0)
		var want []ledger.Copy
		for i, k := range []ledger.Key{
			{Digest: d, Provider: "kimi", Account: "b", Purpose: "file-extract", Extension: ".md"},
			{Digest: d, Provider: "kimi", Account: "a", Purpose: "file-extract", Extension: ".txt"},
			{Digest: d, Provider: "glm", Account: "c", Purpose: "agent"},
			{Digest: d, Provider: "kimi", Account: "a", Purpose: "batch", Extension: ".txt"},
		} {
			w := wanted(t, i)
			w.Key = k
			want = append(want, claim(t, x, w, long))
		}
		claim(t, x, wanted(t, 1), long) // of another blob
		got, err := x.Copies(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the list", got, want)
	}},
	{"lists nothing where there is nothing", func(t *testing.T, x Index) {
		if all, err := x.Copies(t.Context(), digest(t, 0)); err != nil || len(all) != 0 {
			t.Errorf("Copies: %+v, error %v", all, err)
		}
	}},
}

var copyOfOperationTests = []test{
	{"follows the operation, in every state", func(t *testing.T, x Index) {
		for i, s := range situations {
			if s.state == "" {
				continue
			}
			w := wanted(t, i)
			s.arrange(t, x, w)
			c, err := x.CopyOfOperation(t.Context(), w.OperationID)
			if err != nil || c.Key != w.Key || c.State != s.state || c.OperationID != w.OperationID {
				t.Errorf("%s: %+v, error %v", s.name, c, err)
			}
		}
	}},
	{"follows later requests for the same delete", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		c := startDelete(t, x, makeReady(t, x, w, "1").Key, "first", long)
		later := []string{"second", `"third" & 3`}
		for _, id := range later {
			if _, done, err := x.Change(t.Context(), ledger.RepeatDelete(w.Key, id)); err != nil || !done {
				t.Fatalf("RepeatDelete: done %v, error %v", done, err)
			}
		}
		check := func(state ledger.State) {
			t.Helper()
			for _, id := range later {
				if c, err := x.CopyOfOperation(t.Context(), id); err != nil || c.Key != w.Key || c.State != state || c.OperationID != "first" {
					t.Errorf("%s, operation %s: %+v, error %v", state, id, c, err)
				}
			}
		}
		check(ledger.StateDeleting)
		finishDelete(t, x, c, ledger.StateDeleted)
		check(ledger.StateDeleted)
		claim(t, x, w, long)
		for _, id := range later {
			_, err := x.CopyOfOperation(t.Context(), id)
			noCopy(t, fmt.Sprintf("CopyOfOperation(%q) of a new copy", id), err)
		}
	}},
	{"tells where there is none", func(t *testing.T, x Index) {
		w := wanted(t, 0)
		w.OperationID = ""
		claim(t, x, w, long)
		for _, id := range []string{"", "unknown", "a\x00b", "\xff"} {
			_, err := x.CopyOfOperation(t.Context(), id)
			noCopy(t, fmt.Sprintf("CopyOfOperation(%q)", id), err)
		}
	}},
}

var useCopiesTests = []test{
	{"records uses, forwards only", func(t *testing.T, x Index) {
		a, b := makeReady(t, x, wanted(t, 0), "1"), makeReady(t, x, wanted(t, 1), "2")
		at := later(0)
		unknown := wanted(t, 2).Key
		odd := a.Key
		odd.Purpose = "a\x00b"
		for _, c := range []struct{ use, want time.Time }{{at, at}, {at.Add(-time.Hour), at}, {at.Add(time.Hour), at.Add(time.Hour)}} {
			use(t, x, map[ledger.Key]time.Time{a.Key: c.use, b.Key: at, unknown: at, odd: at})
			a.LastUsedAt, b.LastUsedAt = c.want, at
			same(t, "the row", current(t, x, a.Key, a.OperationID), a)
			same(t, "the other row", current(t, x, b.Key, b.OperationID), b)
		}
		_, err := x.Copy(t.Context(), unknown)
		noCopy(t, "Copy of a key that was used but has no row", err)
		use(t, x, nil)
	}},
	{"takes many at once, from many", func(t *testing.T, x Index) {
		uses := map[ledger.Key]time.Time{}
		at := later(0)
		for i := range 50 {
			uses[makeReady(t, x, wanted(t, i), "1").Key] = at
		}
		together(8, func(int) {
			if err := x.UseCopies(t.Context(), uses); err != nil {
				t.Errorf("UseCopies: %v", err)
			}
		})
		for k := range uses {
			if c, err := x.Copy(t.Context(), k); err != nil || !c.LastUsedAt.Equal(at) {
				t.Errorf("used at %s, error %v; want %s", c.LastUsedAt, err, at)
			}
		}
	}},
}

// dueKeys lists the keys that are due.
func dueKeys(t testing.TB, x Index, limit int, accounts ...string) []ledger.Key {
	t.Helper()
	rows, err := x.DueCopies(t.Context(), accounts, limit)
	if err != nil {
		t.Fatalf("DueCopies: %v", err)
	}
	keys := []ledger.Key{}
	for _, c := range rows {
		keys = append(keys, c.Key)
	}
	return keys
}

var dueCopiesTests = []test{
	{"lists copies whose work no gateway does", func(t *testing.T, x Index) {
		want := map[string]bool{
			"pending, due": true, "pending after an uncertain failure, due": true,
			"uploading, the lease ran out": true, "uploading for the second time, the lease ran out": true, "renewing, the lease ran out": true,
			"processing, the lease ran out": true, "noted and requested": true, "being verified, the lease ran out": true,
			"deleting, the lease ran out": true, "deleting, to be tried again": true,
			// Their strays are looked for.
			"ready, near its end, after a renewal that failed": true, "failed, due": true, "lost": true, "lost too often": true,
		}
		var due []ledger.Copy
		for i, s := range situations {
			w := wanted(t, i)
			s.arrange(t, x, w)
			if want[s.name] {
				due = append(due, current(t, x, w.Key, w.OperationID))
			}
		}
		if len(due) != len(want) {
			t.Fatalf("%d situations; want %d", len(due), len(want))
		}
		got, err := x.DueCopies(t.Context(), []string{"unknown", account}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		// They were arranged one after the other, and each has been due from then on.
		same(t, "the due copies", got, due)
	}},
	{"lists the longest waiting first, up to the limit", func(t *testing.T, x Index) {
		a, b, c, d := wanted(t, 0), wanted(t, 1), wanted(t, 2), wanted(t, 3)
		c.Account = "another"
		request(t, x, a)
		claim(t, x, b, time.Hour)
		request(t, x, c)
		complete(t, x, claim(t, x, d, time.Hour), file("1", providers.StatusProcessing, time.Time{}))
		startDelete(t, x, d.Key, "", time.Hour)
		age(t, x, a.Key, 3*time.Hour)
		age(t, x, b.Key, 5*time.Hour) // its lease: four hours ago
		age(t, x, c.Key, 5*time.Hour)
		age(t, x, d.Key, 3*time.Hour) // two
		all := []ledger.Key{c.Key, b.Key, a.Key, d.Key}
		for limit := 1; limit <= 5; limit++ {
			same(t, fmt.Sprintf("the first %d", limit), dueKeys(t, x, limit, account, "another"), all[:min(limit, 4)])
			same(t, fmt.Sprintf("the first %d of one account", limit), dueKeys(t, x, limit, account), all[1:][:min(limit, 3)])
		}
		same(t, "those of no account", dueKeys(t, x, 5), []ledger.Key{})
		same(t, "those of an odd account", dueKeys(t, x, 5, "a\x00b", "\xff", ""), []ledger.Key{})
	}},
	{"refuses a limit of nothing", func(t *testing.T, x Index) {
		for _, limit := range []int{0, -1} {
			_, err := x.DueCopies(t.Context(), []string{account}, limit)
			refused(t, fmt.Sprintf("a limit of %d", limit), err)
		}
	}},
}

var copyUsageTests = []test{
	{"counts the copies that take up room, by purpose", func(t *testing.T, x Index) {
		counted := map[ledger.State]bool{
			ledger.StateUploading: true, ledger.StateProcessing: true, ledger.StateUnverified: true,
			ledger.StateReady: true, ledger.StateDeleting: true,
		}
		var want, uploading int64
		for i, s := range situations {
			s.arrange(t, x, wanted(t, i))
			if row, err := x.Copy(t.Context(), wanted(t, i).Key); err == nil && counted[s.state] && (s.state != ledger.StateDeleting || row.FileID != "") {
				want++
			}
			if s.state == ledger.StateUploading && !strings.HasPrefix(s.name, "renewing") {
				uploading++
			}
		}
		batch := wanted(t, 900)
		batch.Purpose, batch.Size = "batch", 1<<40
		makeReady(t, x, batch, "1")
		empty := wanted(t, 901)
		empty.Purpose, empty.Size = "", 0
		makeReady(t, x, empty, "1")
		claim(t, x, wanted(t, 903), long)
		startDelete(t, x, wanted(t, 903).Key, "", long) // without a file
		elsewhere := wanted(t, 902)
		elsewhere.Account = "another"
		makeReady(t, x, elsewhere, "1")
		got, err := x.CopyUsage(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b ledger.Usage) int { return strings.Compare(a.Purpose, b.Purpose) })
		same(t, "the usage", got, []ledger.Usage{
			{Purpose: "", Files: 1}, {Purpose: "batch", Files: 1, Bytes: 1 << 40}, {
				Purpose: "file-extract", Files: want, Bytes: want * size,
				UploadingFiles: uploading, UploadingBytes: uploading * size,
			},
		})
	}},
	{"counts nothing where there is nothing", func(t *testing.T, x Index) {
		for _, account := range []string{"unknown", "", "a\x00b", "\xff"} {
			if got, err := x.CopyUsage(t.Context(), account); err != nil || len(got) != 0 {
				t.Errorf("CopyUsage(%q): %+v, error %v", account, got, err)
			}
		}
	}},
}

// byKey orders rows as CopiesAt does.
func byKey(a, b ledger.Copy) int {
	return cmp.Or(slices.Compare(a.Digest[:], b.Digest[:]), strings.Compare(a.Account, b.Account),
		strings.Compare(a.Purpose, b.Purpose), strings.Compare(a.Extension, b.Extension))
}

var copiesAtTests = []test{
	{"pages through all rows of a provider, in order", func(t *testing.T, x Index) {
		var want []ledger.Copy
		for i := range 4 {
			for _, account := range []string{"", "a", "B", "ä"} {
				for _, purpose := range []string{"", "batch"} {
					for _, at := range []string{provider, "glm"} {
						w := wanted(t, i)
						w.Provider, w.Account, w.Purpose, w.Extension = at, account, purpose, []string{"", ".A", ".b", "é"}[i]
						c := claim(t, x, w, long)
						if at == provider {
							want = append(want, c)
						}
					}
				}
			}
		}
		slices.SortFunc(want, byKey)
		for _, limit := range []int{1, 3, len(want), 1000} {
			var got []ledger.Copy
			var after ledger.Key
			for {
				page, err := x.CopiesAt(t.Context(), provider, after, limit)
				if err != nil || len(page) > limit {
					t.Fatalf("CopiesAt: %d rows, error %v", len(page), err)
				}
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
				after = page[len(page)-1].Key
			}
			same(t, fmt.Sprintf("all pages of %d", limit), got, want)
		}
	}},
	{"has rows in all states but deleted", func(t *testing.T, x Index) {
		var want []ledger.Copy
		for i, s := range situations {
			w := wanted(t, i)
			s.arrange(t, x, w)
			if s.state != "" && s.state != ledger.StateDeleted {
				want = append(want, current(t, x, w.Key, w.OperationID))
			}
		}
		slices.SortFunc(want, byKey)
		got, err := x.CopiesAt(t.Context(), provider, ledger.Key{}, 1000)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the list", got, want)
	}},
	{"refuses a limit of nothing, and odd keys", func(t *testing.T, x Index) {
		for _, limit := range []int{0, -1} {
			_, err := x.CopiesAt(t.Context(), provider, ledger.Key{}, limit)
			refused(t, fmt.Sprintf("a limit of %d", limit), err)
		}
		_, err := x.CopiesAt(t.Context(), provider, ledger.Key{Account: "a\x00b"}, 1)
		refusedText(t, "an odd key", err)
	}},
}

var extractedTextTests = []test{
	{"returns the last value set", func(t *testing.T, x Index) {
		k := ledger.TextKey{Digest: digest(t, 0), Provider: provider, Extension: ".pdf"}
		for i := range 3 {
			text := digest(t, 10+i)
			if err := x.SetExtractedText(t.Context(), k, text); err != nil {
				t.Fatal(err)
			}
			if got, err := x.ExtractedText(t.Context(), k); err != nil || got != text {
				t.Errorf("ExtractedText: %s, error %v; want %s", got, err, text)
			}
		}
		for _, o := range []ledger.TextKey{
			{Digest: digest(t, 1), Provider: provider, Extension: ".pdf"},
			{Digest: k.Digest, Provider: "glm", Extension: ".pdf"},
			{Digest: k.Digest, Provider: provider},
		} {
			_, err := x.ExtractedText(t.Context(), o)
			noCopy(t, "ExtractedText of another key", err)
		}
	}},
	{"refuses values that can't be stored", func(t *testing.T, x Index) {
		for _, text := range []string{"a\x00b", "\xff"} {
			for _, k := range []ledger.TextKey{
				{Digest: digest(t, 0), Provider: text}, {Digest: digest(t, 0), Provider: provider, Extension: text},
			} {
				refusedText(t, "SetExtractedText", x.SetExtractedText(t.Context(), k, cas.Digest{}))
				_, err := x.ExtractedText(t.Context(), k)
				noCopy(t, "ExtractedText", err)
			}
		}
	}},
}
