package replicator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// A full account makes room by removing the copy used least recently.
func TestEviction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.MaxFiles = 3
	r := w.replicator(t, nil)
	var all []ledger.Copy
	for i := range 3 {
		all = append(all, ensure(t, r, want(w.put(t, fmt.Sprint("text ", i), "a.txt"))))
	}
	ensure(t, r, want(all[0].Digest)) // used again, so the second is the oldest now
	fourth := ensure(t, r, want(w.put(t, "text 3", "a.txt")))
	if row := w.row(t, all[1].Key); row.State != ledger.StateEvicted || row.FileID != "" {
		t.Errorf("the copy used least recently is %s", row.State)
	}
	wantIDs := []string{all[0].FileID, all[2].FileID, fourth.FileID}
	if ids := w.depot.fileIDs(); !slices.Equal(ids, wantIDs) {
		t.Errorf("remote files %v, want %v", ids, wantIDs)
	}
	// A removed copy comes back when it is needed.
	if again := ensure(t, r, want(all[1].Digest)); again.FileID == all[1].FileID {
		t.Error("an evicted copy came back with its old file")
	}
	if n := len(w.depot.fileIDs()); n != 3 {
		t.Errorf("%d remote files", n)
	}
}

func TestEvictionByBytesAndPurpose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.MaxBytes = 25
	w.depot.description.Purposes[1].MaxFiles = 1
	r := w.replicator(t, nil)
	doc := ensure(t, r, want(w.put(t, "0123456789", "a.txt")))
	image := ensure(t, r, replicator.Request{Digest: w.put(t, "an image", "a.png"), Provider: "depot", Purpose: "image"})
	// The purpose is full, not the account: the older document stays.
	ensure(t, r, replicator.Request{Digest: w.put(t, "an imag2", "b.png"), Provider: "depot", Purpose: "image"})
	if row := w.row(t, image.Key); row.State != ledger.StateEvicted {
		t.Errorf("the image is %s", row.State)
	}
	if row := w.row(t, doc.Key); row.State != ledger.StateReady {
		t.Errorf("the document is %s", row.State)
	}
	// The account has no room for these bytes: two go.
	ensure(t, r, want(w.put(t, strings.Repeat("x", 20), "c.txt")))
	if row := w.row(t, doc.Key); row.State != ledger.StateEvicted {
		t.Errorf("the document is %s", row.State)
	}
}

func TestNoEviction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.depot.description.MaxFiles = 1
	r := w.replicator(t, func(o *replicator.Options) { o.NoEviction = true })
	first := ensure(t, r, want(w.put(t, "one", "a.txt")))
	_, _, err := r.Ensure(t.Context(), want(w.put(t, "two", "a.txt")))
	if e, ok := errors.AsType[*providers.Error](err); !ok || e.Kind != providers.KindQuota || e.Hint == "" {
		t.Errorf("error %v", err)
	}
	if ids := w.depot.fileIDs(); !slices.Equal(ids, []string{first.FileID}) || w.depot.count(providers.OpUpload) != 1 {
		t.Errorf("files %v after %d uploads", ids, w.depot.count(providers.OpUpload))
	}
}

// A file that is larger than the account, or the purpose, takes of all files is refused for
// good, and nothing goes for it. So is one whose row is older than the limit.
func TestFileLargerThanTheAccount(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(d *providers.Description){
		"the account": func(d *providers.Description) { d.MaxBytes = 20 },
		"the purpose": func(d *providers.Description) { d.Purposes[0].MaxBytes = 20 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.replicator(t, nil)
			first := ensure(t, r, want(w.put(t, "small", "a.txt")))
			early := want(w.put(t, strings.Repeat("y", 21), "a.txt"))
			pending, err := r.Begin(t.Context(), early)
			if err != nil {
				t.Fatal(err)
			}
			limit(&w.depot.description)
			r = w.replicator(t, nil)
			large := want(w.put(t, strings.Repeat("x", 21), "a.txt"))
			_, _, err = r.Ensure(t.Context(), large)
			e, ok := errors.AsType[*providers.Error](err)
			if !ok || e.Kind != providers.KindPermanent || e.Code != "file_too_large" || !strings.Contains(e.Message, "larger than the account takes") {
				t.Errorf("error %v", err)
			}
			run(t, r)
			eventually(t, "the early row has failed", func() bool { return w.row(t, pending.Key).State == ledger.StateFailed })
			if row := w.row(t, pending.Key); row.Error == nil || row.Error.Kind != providers.KindPermanent || !row.NextAttemptAt.IsZero() {
				t.Errorf("the early row is %+v", row)
			}
			if row := w.row(t, first.Key); row.State != ledger.StateReady || w.depot.count(providers.OpUpload) != 1 {
				t.Errorf("the small copy is %s, after %d uploads", row.State, w.depot.count(providers.OpUpload))
			}
			ensure(t, r, want(w.put(t, strings.Repeat("z", 20), "a.txt"))) // the limit itself fits
		})
	}
}

// The account may hold files the ledger doesn't know; then the provider says that
// it is full.
func TestProviderSaysFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	first := ensure(t, r, want(w.put(t, "one", "a.txt")))
	full := fail(providers.OpUpload, providers.KindQuota, "invalid_request_error", nil)
	full.TooMany = true
	w.depot.hook(times(1, providers.OpUpload, full), nil)
	second := ensure(t, r, want(w.put(t, "two", "a.txt")))
	if ids := w.depot.fileIDs(); !slices.Equal(ids, []string{second.FileID}) {
		t.Errorf("files %v", ids)
	}
	if row := w.row(t, first.Key); row.State != ledger.StateEvicted {
		t.Errorf("the first copy is %s", row.State)
	}
	// With nothing left to remove it gives up.
	w.depot.hook(times(1000, providers.OpUpload, full), nil)
	_, _, err := r.Ensure(t.Context(), want(w.put(t, "three", "a.txt")))
	if providers.KindOf(err) != providers.KindQuota {
		t.Errorf("error %v", err)
	}
}

// A file removed behind our back is made again once it is missed.
func TestLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	first := ensure(t, r, q)

	// A false alarm changes nothing.
	if c, created, err := r.ReportLost(t.Context(), q, first.FileID); err != nil || created || c.FileID != first.FileID {
		t.Errorf("a false alarm: %+v, %t, %v", c, created, err)
	}
	w.depot.forget(first.FileID)
	second, created, err := r.ReportLost(t.Context(), q, first.FileID)
	if err != nil || !created || second.FileID == first.FileID {
		t.Fatalf("after the loss: %+v, %t, %v", second, created, err)
	}
	// A report about the old id comes late.
	if c, created, err := r.ReportLost(t.Context(), q, first.FileID); err != nil || created || c.FileID != second.FileID {
		t.Errorf("a late report: %+v, %t, %v", c, created, err)
	}
	if n := w.depot.count(providers.OpUpload); n != 2 {
		t.Errorf("%d uploads", n)
	}
}

// A provider that loses the file again and again is left alone.
func TestLostAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	c := ensure(t, r, q)
	uploads := 0
	for range 10 {
		w.depot.forget(c.FileID)
		again, _, err := r.ReportLost(t.Context(), q, c.FileID)
		if err != nil {
			e, ok := errors.AsType[*providers.Error](err)
			if !ok || e.Kind != providers.KindLost || e.RetryAfter < time.Minute {
				t.Fatalf("error %v", err)
			}
			break
		}
		c = again
		uploads++
	}
	if uploads != 3 {
		t.Errorf("it was uploaded again %d times, want 3", uploads)
	}
	if _, _, err := r.Ensure(t.Context(), q); providers.KindOf(err) != providers.KindLost {
		t.Errorf("another ensure: %v", err)
	}
}

// An answer says deleted when the provider has confirmed it, and not before.
func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	if _, err := r.Remove(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("no copy: %v", err)
	}
	first := ensure(t, r, q)
	got, err := r.Remove(t.Context(), q)
	if err != nil || len(got) != 1 || got[0].State != ledger.StateDeleted || len(w.depot.fileIDs()) > 0 {
		t.Errorf("removed: %+v, %v; files %v", got, err, w.depot.fileIDs())
	}
	if _, err := r.Copy(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a deleted copy: %v", err)
	}

	// The file is gone already.
	second := ensure(t, r, q)
	if second.FileID == first.FileID {
		t.Error("the deleted file came back")
	}
	w.depot.forget(second.FileID)
	if got, err := r.Remove(t.Context(), q); err != nil || got[0].State != ledger.StateDeleted {
		t.Errorf("removed: %+v, %v", got, err)
	}

	// The provider is down: it goes on by itself.
	ensure(t, r, q)
	w.depot.hook(times(2, providers.OpDelete, fail(providers.OpDelete, providers.KindTransient, "down", nil)), nil)
	got, err = r.Remove(t.Context(), replicator.Request{Digest: q.Digest, Provider: "depot", OperationID: "removal"})
	if err != nil || got[0].State != ledger.StateDeleting || got[0].Error == nil {
		t.Fatalf("removed: %+v, %v", got, err)
	}
	if c, err := r.Operation(t.Context(), "removal"); err != nil || c.State != ledger.StateDeleting {
		t.Errorf("the operation: %+v, %v", c, err)
	}
	run(t, r)
	eventually(t, "the delete is confirmed", func() bool {
		c, err := r.Operation(t.Context(), "removal")
		return err == nil && c.State == ledger.StateDeleted
	})
	if ids := w.depot.fileIDs(); len(ids) > 0 {
		t.Errorf("files %v", ids)
	}
}

// A copy deleted while it is being made leaves nothing at the provider, and is not made
// again. It is not said to be deleted before nothing can come of the upload any more.
func TestRemoveWhileUploading(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]bool{"before the file is stored": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			uploader := w.replicator(t, func(o *replicator.Options) { o.Lease = time.Second })
			remover := w.replicator(t, nil)
			q := want(w.put(t, "some text", "a.txt"))
			g := newGate()
			open := sync.OnceFunc(g.open)
			t.Cleanup(open)
			hook := only(providers.OpUpload, func(ctx context.Context, _ string) error {
				// A provider that doesn't notice that the caller has left.
				return g.pass(context.WithoutCancel(ctx))
			})
			if stored {
				w.depot.hook(nil, hook)
			} else {
				w.depot.hook(hook, nil)
			}
			done := make(chan error, 1)
			go func() { _, _, err := uploader.Ensure(t.Context(), q); done <- err }()
			<-g.reached
			confirmed := ledger.StateDeleting
			if stored {
				confirmed = ledger.StateDeleted // the file was found, so nothing more can come
			}
			removed, err := remover.Remove(t.Context(), q)
			if err != nil || removed[0].State != confirmed {
				t.Fatalf("removed: %+v, %v", removed, err)
			}
			open()
			w.depot.hook(nil, nil)
			if err := <-done; !errors.Is(err, providers.ErrCopyDeleted) {
				t.Errorf("the caller that had requested the copy: %v", err)
			}
			run(t, remover)
			eventually(t, "the delete is confirmed", func() bool {
				_, err := remover.Copy(t.Context(), q)
				return errors.Is(err, ledger.ErrNotFound)
			})
			if ids := w.depot.fileIDs(); len(ids) > 0 || w.depot.count(providers.OpUpload) != 1 {
				t.Errorf("it is said to be deleted, and there are %v after %d uploads", ids, w.depot.count(providers.OpUpload))
			}
			// A later request makes it anew.
			c := ensure(t, remover, q)
			if ids := w.depot.fileIDs(); !slices.Equal(ids, []string{c.FileID}) {
				t.Errorf("files %v; the copy is %s", ids, c.FileID)
			}
		})
	}
}

// Two gateways at the same copy, the first of which has lost its lease without
// knowing: whichever way they meet, one file is left, and it is the ledger's.
func TestZombie(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]bool{"it has yet to upload": false, "its upload is stored": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testZombie(t, stored) })
		})
	}
}

func testZombie(t *testing.T, stored bool) {
	w := newWorld(t)
	q := want(w.put(t, "some text", "a.txt"))
	deaf := &deafLedger{Store: w.ledger}
	zombie := w.replicator(t, func(o *replicator.Options) {
		o.Ledger, o.Lease = deaf, 250*time.Millisecond
	})
	g := newGate()
	first := times(1, providers.OpUpload, errGate)
	hold := func(ctx context.Context, op providers.Op, what string) error {
		if first(ctx, op, what) != nil {
			return g.pass(context.WithoutCancel(ctx))
		}
		return nil
	}
	if stored {
		w.depot.hook(nil, hold)
	} else {
		w.depot.hook(hold, nil)
	}
	done := make(chan error)
	var late ledger.Copy
	go func() {
		c, _, err := zombie.Ensure(t.Context(), q)
		late = c
		done <- err
	}()
	<-g.reached
	// Its lease runs out, since it can't extend it, and another takes over.
	c := ensure(t, w.replicator(t, nil), q)
	g.open()
	if err := <-done; err != nil || late.FileID != c.FileID {
		t.Errorf("the zombie got %s, %v; the copy is %s", late.FileID, err, c.FileID)
	}
	eventually(t, "one file is left", func() bool { return slices.Equal(w.depot.fileIDs(), []string{c.FileID}) })
	uploads := 2
	if stored {
		uploads = 1 // the other adopted it
	}
	if n := w.depot.count(providers.OpUpload); n != uploads {
		t.Errorf("%d uploads, want %d", n, uploads)
	}
	if row := w.row(t, c.Key); row.State != ledger.StateReady || row.FileID != c.FileID {
		t.Errorf("the row: %+v", row)
	}
}

var errGate = errors.New("held at the gate")

// deafLedger is one whose leases can't be extended.
type deafLedger struct{ ledger.Store }

func (d *deafLedger) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	if t.Verb == ledger.ExtendLease(t.Key, 0, 0).Verb {
		return ledger.Copy{}, false, cas.ErrIndexUnavailable
	}
	return d.Store.Change(ctx, t)
}

// The last write of a copy fails, in both of its ways.
func TestCompletionFails(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"not applied": false, "applied, not acknowledged": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ledger := &flakyCompletion{Store: w.ledger, failures: 3, apply: applied}
			r := w.replicator(t, func(o *replicator.Options) { o.Ledger = ledger })
			c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
			if ids := w.depot.fileIDs(); !slices.Equal(ids, []string{c.FileID}) || w.depot.count(providers.OpUpload) != 1 {
				t.Errorf("files %v after %d uploads; the copy is %s", ids, w.depot.count(providers.OpUpload), c.FileID)
			}
		})
	}
}

// flakyCompletion fails completions, which are applied or not.
type flakyCompletion struct {
	ledger.Store
	failures int
	apply    bool
}

func (f *flakyCompletion) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	if t.Verb != ledger.Complete(t.Key, 0, providers.RemoteFile{}).Verb {
		return f.Store.Change(ctx, t)
	}
	if f.failures--; f.failures < 0 {
		return f.Store.Change(ctx, t)
	}
	if f.apply {
		if _, _, err := f.Store.Change(ctx, t); err != nil {
			return ledger.Copy{}, false, err
		}
	}
	return ledger.Copy{}, false, fmt.Errorf("complete: %w", cas.ErrIndexUnavailable)
}

// The text is extracted once, and outlives the copy it was extracted from.
func TestText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	text := w.text(t, r, q)
	if text != "the text of it" {
		t.Errorf("text %q", text)
	}
	if _, err := r.Remove(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if again := w.text(t, r, q); again != text {
		t.Errorf("then %q", again)
	}
	ref, err := r.Reference(t.Context(), q, "text")
	if err != nil || !strings.Contains(string(ref.Value), text) {
		t.Errorf("reference %s, %v", ref.Value, err)
	}
	if n, uploads := w.depot.count(providers.OpText), w.depot.count(providers.OpUpload); n != 1 || uploads != 1 {
		t.Errorf("the text was extracted %d times, after %d uploads", n, uploads)
	}
}

// text reads the text of a blob.
func (w *world) text(t *testing.T, r *replicator.Replicator, q replicator.Request) string {
	t.Helper()
	b, err := r.Text(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.store.OpenVerified(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Body == nil {
		return string(c.Bytes)
	}
	text, err := io.ReadAll(c.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An earlier version stored an empty text where the provider found none. It is no text.
func TestEmptyTextIsExtractedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	key := ledger.TextKey{Digest: q.Digest, Provider: q.Provider, Extension: ".txt"}
	if err := w.ledger.SetExtractedText(t.Context(), key, w.put(t, "", "")); err != nil {
		t.Fatal(err)
	}
	if text := w.text(t, r, q); text != "the text of it" {
		t.Errorf("text %q", text)
	}
}

// A text whose object is damaged or missing is extracted again, which repairs it.
func TestDamagedTextIsExtractedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	damaged, err := r.Text(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	damage := func() {
		t.Helper()
		if err := os.Remove(filepath.Join(w.dir, "objects", damaged.Object().Key())); err != nil {
			t.Fatal(err)
		}
		if err := w.ledger.(cas.Index).Suspect(t.Context(), damaged.Object()); err != nil {
			t.Fatal(err)
		}
		w.store.ForgetObject(damaged.Object())
	}
	damage()
	if text := w.text(t, r, q); text != "the text of it" {
		t.Errorf("text %q", text)
	}
	if b, err := r.Text(t.Context(), q); err != nil || b.State != cas.StateLive || w.depot.count(providers.OpText) != 2 {
		t.Errorf("then %+v, %v; extracted %d times", b, err, w.depot.count(providers.OpText))
	}
	damage()
	w.depot.hook(func(_ context.Context, op providers.Op, _ string) error {
		if op != providers.OpText {
			return nil
		}
		return &providers.Error{Provider: q.Provider, Op: op, Kind: providers.KindPermanent}
	}, nil)
	if b, err := r.Text(t.Context(), q); err != nil || b.Digest != damaged.Digest {
		t.Errorf("while the provider fails: %+v, %v", b, err)
	}
}

// A file found missing when its text is asked for is uploaded once more, and not
// again and again.
func TestTextOfALostFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	w.depot.forget(ensure(t, r, q).FileID)
	if text := w.text(t, r, q); text != "the text of it" {
		t.Errorf("text %q", text)
	}
	if n := w.depot.count(providers.OpUpload); n != 2 {
		t.Errorf("%d uploads", n)
	}

	other := want(w.put(t, "another text", "a.txt"))
	w.depot.hook(times(1000, providers.OpText, lost(providers.OpText)), nil)
	if _, err := r.Text(t.Context(), other); !errors.Is(err, providers.ErrCopyInProgress) {
		t.Errorf("a new file without a text: %v", err)
	}
	if n := w.depot.count(providers.OpUpload); n != 3 {
		t.Errorf("%d uploads, want 3: the file without a text is there", n)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	byURL, err := r.Reference(t.Context(), q, "url")
	if err != nil || !strings.Contains(string(byURL.Value), "https://files.example/sha256:") || byURL.ExpiresAt.IsZero() || byURL.Copy != nil {
		t.Errorf("by URL: %+v, %v", byURL, err)
	}
	if w.depot.count(providers.OpUpload) > 0 {
		t.Error("a URL needs no upload")
	}
	byID, err := r.Reference(t.Context(), q, "")
	if err != nil || byID.Copy == nil || !strings.Contains(string(byID.Value), byID.Copy.FileID) {
		t.Errorf("by id: %+v, %v", byID, err)
	}
	if _, err := r.Reference(t.Context(), q, "smoke"); !errors.Is(err, providers.ErrNoReference) || !strings.Contains(err.Error(), "file_id, text, url") {
		t.Errorf("unknown kind: %v", err)
	}
}

// A provider that reads a picture at a URL may limit its width and height.
func TestReferenceToLargePicture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	for _, c := range []struct {
		width, height int
		refused       bool
	}{{6001, 1, true}, {1, 6001, true}, {6000, 1, false}} {
		picture := image.NewGray(image.Rect(0, 0, c.width, c.height))
		var asPNG, asJPEG bytes.Buffer
		if err := errors.Join(png.Encode(&asPNG, picture), jpeg.Encode(&asJPEG, picture, nil)); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"a.png": asPNG.String(), "a.jpg": asJPEG.String()} {
			_, err := r.Reference(t.Context(), want(w.put(t, content, name)), "url")
			e, ok := errors.AsType[*providers.Error](err)
			if refused := ok && e.Code == "picture_too_large" && e.Kind == providers.KindPermanent; refused != c.refused || !refused && err != nil {
				t.Errorf("%s of %d × %d pixels: %v", name, c.width, c.height, err)
			}
		}
	}
	if _, err := r.Reference(t.Context(), want(w.put(t, "\x89PNG\r\n\x1a\ncut", "a.png")), "url"); err != nil {
		t.Errorf("a picture without a whole header: %v", err)
	}
}

// A reconcile finds the differences between ledger and provider, and repairs them
// with Apply.
func TestReconcile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	fine := ensure(t, r, want(w.put(t, "fine", "a.txt")))
	gone := ensure(t, r, want(w.put(t, "gone", "a.txt")))
	w.depot.forget(gone.FileID)
	orphan := w.depot.store(providers.RemoteName(w.mark(t), "x", cas.DigestOf([]byte("orphan")), ".txt", 3), "docs", []byte("orphan"))
	foreign := w.depot.store("mine.txt", "docs", []byte("of another client"))
	// Names that are like those of a casgate, but without its mark.
	lookalike := w.depot.store("trace-4bf92f3577b34da6-1.json", "docs", []byte("of another client"))
	w.depot.description.RenamesDuplicates = true
	again := w.depot.store(strings.TrimSuffix(fine.RemoteName, ".txt")+" (1).txt", "docs", []byte("fine"))
	another := w.depot.store(providers.RemoteName("cas0123456789", "x", fine.Digest, ".txt", 4), "docs", []byte("of another casgate"))
	// The file of an upload whose reply got lost, and that will be looked for.
	pending := want(w.put(t, "pending", "a.txt"))
	reply := fail(providers.OpUpload, providers.KindUnknown, "x", nil)
	reply.RetryAfter = time.Hour
	w.depot.hook(nil, times(1, providers.OpUpload, reply))
	if _, _, err := r.Ensure(t.Context(), pending); err == nil {
		t.Fatal("the reply was not lost")
	}
	other := w.replicator(t, func(o *replicator.Options) {
		moved := newDepot()
		moved.description.Account = "another@depot.example"
		moved.nextID = 1000 // ids are never used twice
		o.Providers = []providers.Guarded{moved}
	})
	elsewhere := ensure(t, other, want(fine.Digest))

	for _, apply := range []bool{false, true} {
		before := w.depot.fileIDs()
		report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: apply})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Unknown) != 1 || report.Unknown[0].ID != orphan.ID ||
			len(report.Gone) != 1 || report.Gone[0].Key != gone.Key ||
			len(report.Elsewhere) != 1 || report.Elsewhere[0].Key != elsewhere.Key ||
			report.Foreign != 3 ||
			report.Others.Files != 1 || report.Others.Bytes != 18 || len(report.Others.Examples) != 1 || report.Others.Examples[0].ID != another.ID || len(report.Failures) > 0 || report.Applied != apply {
			t.Errorf("apply %t: %+v", apply, report)
		}
		if !apply && (!slices.Equal(before, w.depot.fileIDs()) || w.row(t, gone.Key).State != ledger.StateReady) {
			t.Error("a dry run changed something")
		}
	}
	if ids := w.depot.fileIDs(); slices.Contains(ids, orphan.ID) || !slices.Contains(ids, foreign.ID) || !slices.Contains(ids, fine.FileID) || !slices.Contains(ids, lookalike.ID) || !slices.Contains(ids, another.ID) || !slices.Contains(ids, again.ID) || len(ids) != 6 {
		t.Errorf("files %v", ids)
	}
	if row := w.row(t, gone.Key); row.State != ledger.StateLost {
		t.Errorf("the copy that is gone is %s", row.State)
	}
	report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{})
	if err != nil || len(report.Unknown)+len(report.Gone) > 0 {
		t.Errorf("a second time: %+v, %v", report, err)
	}
}
