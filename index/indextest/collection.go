package indextest

import (
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/providers/ledger"
)

// run is a collection with this id.
func run(id string, blobs int64) collector.Run {
	return collector.Run{ID: id, StartedAt: time.UnixMilli(1_700_000_000_000).UTC(), Due: 9, Blobs: blobs, Bytes: 99, Failed: 1, Error: "it is \x1b broken"}
}

// saveRun calls SaveRun, and fails the test if the lease is not as expected.
func saveRun(t *testing.T, x Index, r collector.Run, lease time.Duration, want bool) {
	t.Helper()
	if held, err := x.SaveRun(t.Context(), r, lease); err != nil || held != want {
		t.Errorf("SaveRun of %s: held %v, error %v; want %v", r.ID, held, err, want)
	}
}

// lastRun fails the test if LastRun does not return this run.
func lastRun(t *testing.T, x Index, want collector.Run, running bool) {
	t.Helper()
	got, isRunning, err := x.LastRun(t.Context())
	if err != nil || isRunning != running {
		t.Errorf("LastRun: running %v, error %v; want %v", isRunning, err, running)
	}
	same(t, "the last run", got, want)
}

// extracted records that b has a text.
func extracted(t *testing.T, x Index, b, text cas.Digest, provider string) {
	t.Helper()
	if err := x.SetExtractedText(t.Context(), ledger.TextKey{Digest: b, Provider: provider, Extension: ".pdf"}, text); err != nil {
		t.Fatal(err)
	}
}

// startOne collects one blob.
func startOne(t *testing.T, x Index) collector.Object {
	t.Helper()
	objects, err := x.StartDeleting(t.Context(), collector.Batch{Limit: 10, Retry: time.Hour})
	if err != nil || len(objects) != 1 {
		t.Fatalf("StartDeleting returned %+v, error %v; want one", objects, err)
	}
	return objects[0]
}

var collectionTests = []test{
	{"one collector has the lease", func(t *testing.T, x Index) {
		lastRun(t, x, collector.Run{}, false)
		saveRun(t, x, run("one", 1), time.Hour, true)
		saveRun(t, x, run("other", 2), time.Hour, false)
		lastRun(t, x, run("one", 1), true)
		saveRun(t, x, run("one", 3), time.Hour, true)
		lastRun(t, x, run("one", 3), true)
		ended := run("one", 4)
		ended.EndedAt = ended.StartedAt.Add(time.Minute)
		saveRun(t, x, ended, 0, true)
		lastRun(t, x, ended, false)
		saveRun(t, x, run("other", 5), time.Hour, true)
		saveRun(t, x, run("one", 6), time.Hour, false)
		lastRun(t, x, run("other", 5), true)
	}},
	{"a lease runs out", func(t *testing.T, x Index) {
		saveRun(t, x, run("dead", 1), time.Microsecond, true)
		saveRun(t, x, run("next", 2), time.Hour, true)
		saveRun(t, x, run("dead", 3), time.Hour, false)
	}},
	{"of many collectors one gets the lease", func(t *testing.T, x Index) {
		held := make([]bool, 8)
		together(len(held), func(i int) {
			var err error
			if held[i], err = x.SaveRun(t.Context(), run(string(rune('a'+i)), 0), time.Hour); err != nil {
				t.Errorf("SaveRun: %v", err)
			}
		})
		n := 0
		for _, h := range held {
			if h {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d of %d collectors have the lease", n, len(held))
		}
	}},
	{"counts what is due, and lists the largest", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateSuspect, cas.StateGone, cas.StateDeleting} {
			arrange(t, x, blob(digest(t, i), 0), state)
		}
		var want []collector.Object
		for i := range int64(3) {
			b := blob(digest(t, 10+int(i)), int32(i))
			b.Size = 100 * (i + 1)
			arrange(t, x, b, cas.StateCondemned)
			want = append([]collector.Object{{ObjectRef: b.Object(), Size: b.Size}}, want...)
		}
		due, err := x.Due(t.Context(), collector.DueQuery{Largest: 2, Visible: true})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "what is due", due, collector.Due{Blobs: 4, Bytes: 600 + size, Visible: 2, Largest: want[:2]})
		due, err = x.Due(t.Context(), collector.DueQuery{Grace: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "what is due after an hour", due, collector.Due{Blobs: 1, Bytes: size})
	}},
	{"says what belongs to a blob", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 3)
		arrange(t, x, b, cas.StateCondemned)
		same(t, "the object of a blob alone", startOne(t, x), collector.Object{ObjectRef: b.Object(), Size: size})

		b = blob(digest(t, 1), 0)
		w := wanted(t, 1)
		w.Digest = b.Digest
		makeReady(t, x, w, "f1")
		extracted(t, x, b.Digest, digest(t, 2), provider)
		arrange(t, x, b, cas.StateCondemned)
		same(t, "the object of a blob with a copy and a text", startOne(t, x),
			collector.Object{ObjectRef: b.Object(), Size: size, HasCopies: true, HasTexts: true})

		b = blob(digest(t, 3), 0)
		w.Digest = b.Digest
		finishDelete(t, x, startDelete(t, x, makeReady(t, x, w, "f2").Key, "", long), ledger.StateDeleted)
		arrange(t, x, b, cas.StateCondemned)
		same(t, "the object of a blob with a deleted copy", startOne(t, x), collector.Object{ObjectRef: b.Object(), Size: size})
	}},
	{"gives out again what has been deleting for long enough", func(t *testing.T, x Index) {
		b := blob(digest(t, 0), 0)
		arrange(t, x, b, cas.StateDeleting)
		for _, retry := range []time.Duration{time.Hour, 0, 0} {
			objects, err := x.StartDeleting(t.Context(), collector.Batch{Grace: time.Hour, Retry: retry, Limit: 10})
			if err != nil || len(objects) != 1-int(retry/time.Hour) {
				t.Errorf("StartDeleting after %s returned %+v, error %v", retry, objects, err)
			}
		}
	}},
	{"finishes several at once, and unlinks their texts", func(t *testing.T, x Index) {
		if err := x.FinishDeleting(t.Context()); err != nil {
			t.Errorf("FinishDeleting of none: %v", err)
		}
		var refs []cas.ObjectRef
		for i, state := range []cas.State{cas.StateDeleting, cas.StateDeleting, cas.StateLive} {
			b := blob(digest(t, i), 1)
			arrange(t, x, b, state)
			extracted(t, x, b.Digest, digest(t, 10+i), provider)
			refs = append(refs, b.Object())
		}
		if err := x.FinishDeleting(t.Context(), refs...); err != nil {
			t.Fatal(err)
		}
		for i, state := range []cas.State{cas.StateGone, cas.StateGone, cas.StateLive} {
			expect(t, x, digest(t, i), state, 1)
			texts, err := x.Texts(t.Context(), digest(t, i))
			if err != nil || (len(texts) == 0) != (state == cas.StateGone) {
				t.Errorf("the texts of blob %d, which is %s: %+v, error %v", i, state, texts, err)
			}
		}
	}},
}

var textsTests = []test{
	{"returns each text once, and whether another blob has it", func(t *testing.T, x Index) {
		source, other, hidden := digest(t, 0), digest(t, 1), digest(t, 2)
		commit(t, x, blob(source, 0))
		commit(t, x, blob(other, 0))
		arrange(t, x, blob(hidden, 0), cas.StateCondemned)
		own, shared, once := digest(t, 10), digest(t, 11), digest(t, 12)
		extracted(t, x, source, own, "glm")
		extracted(t, x, source, own, "kimi")
		extracted(t, x, source, shared, "qwen")
		extracted(t, x, other, shared, "kimi")
		extracted(t, x, source, once, "openai")
		extracted(t, x, hidden, once, "kimi")
		extracted(t, x, source, source, "mistral") // a text, of which the text is itself
		texts, err := x.Texts(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		got := map[cas.Digest]bool{}
		for _, text := range texts {
			got[text.Digest] = text.Shared
		}
		if len(texts) != len(got) {
			t.Errorf("Texts returned %+v", texts)
		}
		same(t, "the texts", got, map[cas.Digest]bool{own: false, shared: true, once: false})
		if texts, err := x.Texts(t.Context(), digest(t, 20)); err != nil || len(texts) != 0 {
			t.Errorf("the texts of a blob without any: %+v, error %v", texts, err)
		}
	}},
}
