package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/glm"
	"casgate/providers/guard"
	"casgate/providers/kimi"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
	"casgate/providers/simulator"
	"casgate/providers/simulator/glmsim"
	"casgate/providers/simulator/kimisim"
)

// listing is a simulator whose lists can be changed.
type listing interface {
	http.Handler
	EditLists(...simulator.ListEdit)
	Fail(simulator.Fault)
	Files() []simulator.RemoteFile
	Put(simulator.RemoteFile) simulator.RemoteFile
}

// The name is enough to adopt the file of an upload whose reply was lost: lists may lack
// sizes, and give other purposes than the upload's.
func TestAdoptionByName(t *testing.T) {
	t.Parallel()
	for name, edits := range map[string][]simulator.ListEdit{
		"without sizes":                      {simulator.WithoutSizes},
		"with another purpose":               {simulator.WithPurpose("batch")},
		"with an unknown purpose":            {simulator.WithPurpose("user_upload")},
		"without sizes, and a wrong purpose": {simulator.WithoutSizes, simulator.WithPurpose("batch")},
	} {
		for provider, account := range map[string]struct {
			server listing
			prefix string
			open   func(providers.Settings) (providers.Provider, error)
			key    string
		}{
			"kimi": {kimisim.New(kimisim.Options{Key: kimiKey}), kimisim.Prefix, kimi.Open, kimiKey},
			"glm":  {glmsim.New(glmsim.Options{Key: glmKey}), glmsim.Prefix, glm.Open, glmKey},
		} {
			t.Run(provider+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				account.server.EditLists(edits...)
				r := w.through(t, connect(t, account.server, account.prefix, account.open, account.key, guard.Options{}))
				q := at(provider, w.put(t, "some text", "a.txt"))
				account.server.Fail(simulator.Fault{Op: providers.OpUpload, Times: 1, Kind: simulator.Cut, Applied: true})
				c, _, err := r.Ensure(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if files := account.server.Files(); len(files) != 1 || files[0].ID != c.FileID {
					t.Errorf("the copy is %s, and the files are %+v", c.FileID, files)
				}
			})
		}
	}
}

// A file with the name of the copy, but another mark, is another casgate's: it is not
// adopted.
func TestAdoptionLeavesOtherInstallations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	others := w.depot.store(providers.RemoteName("cas0123456789", "a", q.Digest, ".txt", 1), "docs", []byte("some text"))
	w.depot.hook(times(1, providers.OpUpload, fail(providers.OpUpload, providers.KindUnknown, "lost", nil)), nil)
	if c := ensure(t, r, q); c.FileID == others.ID {
		t.Error("it was adopted")
	}
}

// Only exactly the name of the attempt counts, and only for a file that is not older. Files
// with variants of that name are neither adopted nor deleted.
func TestAdoptionLeavesVariants(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		var foreign []string
		store := func(name string, age time.Duration) {
			f := w.depot.store(name, "docs", []byte("some text"))
			w.depot.change(func(d *depot) { f.CreatedAt = f.CreatedAt.Add(-age); d.files[f.ID] = f })
			foreign = append(foreign, f.ID)
		}
		q := want(w.put(t, "some text", "a.txt"))
		w.depot.hook(only(providers.OpUpload, func(_ context.Context, name string) error {
			w.depot.hook(nil, nil)
			stem := strings.TrimSuffix(name, ".txt")
			for _, variant := range []string{
				"Copy of " + name, "b" + name[1:], stem + " copy.txt", stem + " (1).txt", stem + ".pdf", name + ".bak", strings.Replace(name, "-1-", "-2-", 1),
			} {
				store(variant, 0)
			}
			store(name, time.Hour) // another program's, that was there before
			store(providers.RemoteName(w.mark(t), "a.txt", q.Digest, ".txt", 9), 0)
			return lostReply()
		}), nil)
		c := ensure(t, r, q)
		if slices.Contains(foreign, c.FileID) {
			t.Errorf("adopted %q", w.depot.listAll()[c.FileID].Name)
		}
		report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{})
		if err != nil || report.Foreign != 7 {
			t.Errorf("%d foreign files, error %v; want 7", report.Foreign, err)
		}
		if _, err := r.Remove(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := w.depot.fileIDs(); !slices.Equal(got, slices.Sorted(slices.Values(foreign))) {
			t.Errorf("files %v are left; want %v", got, foreign)
		}
		if _, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: true}); err != nil {
			t.Fatal(err)
		}
		if got := w.depot.fileIDs(); len(got) < 7 || !slices.Equal(got[:7], slices.Sorted(slices.Values(foreign[:7]))) {
			t.Errorf("files %v are left after a reconcile; want %v", got, foreign[:7])
		}
	})
}

// Many uploads that look for their files at once share a list of the account.
func TestLooksShareAList(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		const uploads = 10
		g := newGate()
		w.depot.hook(only(providers.OpList, func(ctx context.Context, _ string) error { return g.pass(ctx) }), times(uploads, providers.OpUpload, lostReply()))
		made := make(chan error, uploads)
		for i := range uploads {
			q := want(w.put(t, fmt.Sprint("document ", i), "a.txt"))
			go func() { _, _, err := r.Ensure(t.Context(), q); made <- err }()
		}
		time.Sleep(5 * time.Second) // all look by now
		if n := w.depot.count(providers.OpList); n != 1 {
			t.Errorf("%d lists at once", n)
		}
		g.open()
		began := time.Now()
		for range uploads {
			if err := <-made; err != nil {
				t.Error(err)
			}
		}
		if lists, n := w.depot.count(providers.OpList), w.depot.count(providers.OpUpload); lists != 2 || n != uploads {
			t.Errorf("%d lists and %d uploads; want 2 and %d", lists, n, uploads)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the second list came after %s", took)
		}
	})
}

// Kimi renames a file with a name that it has: also so named, a lost upload is found.
func TestAdoptionOfARenamedFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.RenamesDuplicates = true
	r := w.replicator(t, nil)
	w.depot.hook(nil, times(1, providers.OpUpload, lostReply()))
	w.depot.editLists(func(f *providers.RemoteFile) { f.Name = strings.TrimSuffix(f.Name, ".txt") + " (1).txt" })
	if c := ensure(t, r, want(w.put(t, "some text", "a.txt"))); len(w.depot.fileIDs()) != 1 || !strings.HasSuffix(c.RemoteName, " (1).txt") {
		t.Errorf("the copy is %s, of %v", c.RemoteName, w.depot.fileIDs())
	}
}

// A program has stored files with the name of a lost upload, and the provider has renamed
// them: the upload has exactly its name.
func TestAdoptionLeavesDuplicates(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.description.RenamesDuplicates = true
		var foreign []string
		w.depot.hook(nil, only(providers.OpUpload, func(_ context.Context, name string) error {
			w.depot.hook(nil, nil)
			for _, n := range []string{" (1).txt", " (2).txt"} {
				foreign = append(foreign, w.depot.store(strings.TrimSuffix(name, ".txt")+n, "docs", []byte("some text")).ID)
			}
			return lostReply()
		}))
		q := want(w.put(t, "some text", "a.txt"))
		if c := ensure(t, r, q); slices.Contains(foreign, c.FileID) {
			t.Errorf("adopted %q", c.RemoteName)
		}
		if _, err := r.Remove(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := w.depot.fileIDs(); !slices.Equal(got, foreign) {
			t.Errorf("files %v are left; want %v", got, foreign)
		}
	})
}

// Two copies of a blob with different purposes can have the same remote names. Each
// adopts only its own file.
func TestAdoptionTellsPurposesApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.Purposes = append(w.depot.description.Purposes, providers.Purpose{Name: "batch"})
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	doc := ensure(t, r, q)
	q.Purpose = "batch"
	w.depot.hook(nil, times(1, providers.OpUpload, fail(providers.OpUpload, providers.KindUnknown, "lost", nil)))
	batch := ensure(t, r, q)
	if batch.FileID == doc.FileID || len(w.depot.fileIDs()) != 2 {
		t.Errorf("the copies are %s and %s, of %v", doc.FileID, batch.FileID, w.depot.fileIDs())
	}
}

// A file with another size than was sent is deleted, and the upload fails at once.
func TestWrongSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.missing = 1
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	c, _, err := r.Ensure(t.Context(), q)
	e, ok := errors.AsType[*providers.Error](err)
	if !ok || e.Kind != providers.KindPermanent || e.Code != providers.CodeWrongSize || e.Hint == "" {
		t.Errorf("error %v", err)
	}
	if c.State != ledger.StateFailed || !c.NextAttemptAt.IsZero() {
		t.Errorf("the copy is %s, and due at %s", c.State, c.NextAttemptAt)
	}
	if n := w.depot.count(providers.OpUpload); n != 1 || len(w.depot.fileIDs()) != 0 {
		t.Errorf("%d uploads, and files %v", n, w.depot.fileIDs())
	}
}
