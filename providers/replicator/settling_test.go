package replicator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// settling is the settling time of the provider in these tests.
const settling = 20 * time.Second

// inBubble runs a test in its own time, with a provider that has that settling time,
// and a replicator whose queue runs.
func inBubble(t *testing.T, test func(t *testing.T, w *world, r *replicator.Replicator)) {
	inRoom(t, 0, test)
}

// inRoom is inBubble with a provider that takes a number of files, or any number if that
// is 0.
func inRoom(t *testing.T, maxFiles int64, test func(t *testing.T, w *world, r *replicator.Replicator)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.depot.description.MaxFiles = maxFiles
		w.depot.description.Purposes[0].SettlingSeconds = settling.Seconds()
		r := w.replicator(t, func(o *replicator.Options) { o.PollInterval = 15 * time.Second })
		run(t, r)
		test(t, w, r)
	})
}

// wantFiles fails the test unless the provider has these files, after n uploads.
func (w *world) wantFiles(t *testing.T, n int, ids ...string) {
	t.Helper()
	if got := w.depot.fileIDs(); !slices.Equal(got, ids) || w.depot.count(providers.OpUpload) != n {
		t.Errorf("the provider has %v after %d uploads; want %v after %d", got, w.depot.count(providers.OpUpload), ids, n)
	}
}

// lostReply is the error of an upload whose reply got lost.
func lostReply() *providers.Error {
	return fail(providers.OpUpload, providers.KindUnknown, "lost", nil)
}

// A file whose reply was lost is listed late. It is adopted, and not uploaded again.
func TestFileIsListedLate(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.unlisted = 15 * time.Second
		w.depot.hook(nil, times(1, providers.OpUpload, lostReply()))
		c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
		w.wantFiles(t, 1, c.FileID)
		time.Sleep(10 * time.Minute)
		w.wantFiles(t, 1, c.FileID)
		if row := w.row(t, c.Key); len(row.Strays) > 0 {
			t.Errorf("in the end the row is %+v", row)
		}
	})
}

// A lost upload is repeated after the settling time, and is looked for until it is
// forgotten.
func TestNothingTurnsUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.hook(times(1, providers.OpUpload, lostReply()), nil)
		began := time.Now()
		c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
		if took := time.Since(began); took < settling || took > settling+2*time.Second {
			t.Errorf("the second upload came after %v", took)
		}
		w.wantFiles(t, 2, c.FileID)
		if row := w.row(t, c.Key); len(row.Strays) != 1 {
			t.Errorf("the first upload is forgotten: %+v", row)
		}
		time.Sleep(10 * time.Minute)
		w.wantFiles(t, 2, c.FileID)
		if row := w.row(t, c.Key); len(row.Strays) > 0 || row.State != ledger.StateReady {
			t.Errorf("in the end the row is %+v", row)
		}
		if n := w.depot.count(providers.OpList); n > 30 {
			t.Errorf("it was looked for %d times", n)
		}
	})
}

// A file that turns up after the settling time is deleted.
func TestFileTurnsUpAfterAll(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.unlisted = 3 * settling
		w.depot.hook(nil, times(1, providers.OpUpload, lostReply()))
		c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
		if n := len(w.depot.fileIDs()); n != 2 {
			t.Fatalf("%d files", n)
		}
		time.Sleep(10 * time.Minute)
		w.wantFiles(t, 2, c.FileID)
	})
}

// An upload of which the provider did not get the whole content leaves nothing.
func TestPartOfAnUploadLeavesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, _ *replicator.Replicator) {
		partly := &partReader{depot: w.depot, failures: 1}
		r := w.replicator(t, func(o *replicator.Options) { o.Providers = []providers.Guarded{partly} })
		began := time.Now()
		c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
		if took := time.Since(began); took > 2*time.Second || w.depot.count(providers.OpList) > 0 {
			t.Errorf("the second upload came after %v", took)
		}
		w.wantFiles(t, 1, c.FileID)
	})
}

// partReader is a provider whose connection breaks in the middle of an upload.
type partReader struct {
	*depot
	failures int
}

func (p *partReader) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	if p.failures--; p.failures < 0 {
		return p.depot.Upload(ctx, u)
	}
	body, err := u.Open(ctx)
	if err != nil {
		return providers.RemoteFile{}, err
	}
	defer body.Close()
	if _, err := body.Read(make([]byte, 3)); err != nil {
		return providers.RemoteFile{}, err
	}
	return providers.RemoteFile{}, lostReply()
}

// A copy is deleted whose gateway was killed during the upload. The provider stores the
// file later, and lists it later still. The delete is confirmed when it is gone.
func TestDeleteAfterAKilledUpload(t *testing.T) {
	for name, stored := range map[string]bool{"the file is stored": true, "nothing is stored": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
				w.depot.unlisted = 10 * time.Second
				q := want(w.put(t, "some text", "a.txt"))
				k := ensure(t, r, q).Key
				if _, err := r.Remove(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				const lease = 30 * time.Second
				c, won, err := w.ledger.Change(t.Context(), ledger.Claim(ledger.Wanted{Key: k, Name: "a.txt", Size: 9}, lease))
				if err != nil || !won {
					t.Fatalf("won %v, error %v", won, err)
				}
				began := time.Now()
				time.Sleep(time.Second)
				q.OperationID = "removal"
				if rows, err := r.Remove(t.Context(), q); err != nil || rows[0].State != ledger.StateDeleting {
					t.Fatalf("%+v, %v", rows, err)
				}
				if stored {
					time.Sleep(5 * time.Second)
					w.depot.store(providers.RemoteName(w.mark(t), "a.txt", k.Digest, ".txt", c.Fence), "docs", []byte("some text"))
				}
				for {
					row, err := r.Operation(t.Context(), "removal")
					if err != nil {
						t.Fatal(err)
					}
					if row.State == ledger.StateDeleted {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				if took := time.Since(began); !stored && took < lease+settling || took > lease+settling+6*time.Second {
					t.Errorf("the delete was confirmed after %v", took)
				}
				w.wantFiles(t, 1)
				time.Sleep(10 * time.Minute)
				w.wantFiles(t, 1)
			})
		})
	}
}

// A copy is deleted during its upload. The provider stores the file after the client
// has left. The caller that had asked for the copy gets an error; one that asks later
// gets a new copy.
func TestDeleteDuringAnUpload(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.unlisted = 5 * time.Second
		nap := only(providers.OpUpload, func(context.Context, string) error { time.Sleep(10 * time.Second); return nil })
		w.depot.hook(nap, nil)
		q := want(w.put(t, "some text", "a.txt"))
		done := make(chan error, 1)
		go func() { _, _, err := r.Ensure(t.Context(), q); done <- err }()
		time.Sleep(time.Second)
		removal := q
		removal.OperationID = "removal"
		if rows, err := r.Remove(t.Context(), removal); err != nil || rows[0].State != ledger.StateDeleting {
			t.Fatalf("%+v, %v", rows, err)
		}
		w.depot.hook(nil, nil)
		late := make(chan ledger.Copy, 1)
		go func() {
			c, _, err := r.Ensure(t.Context(), q)
			if err != nil {
				t.Errorf("asked after the delete: %v", err)
			}
			late <- c
		}()
		if err := <-done; !errors.Is(err, providers.ErrCopyDeleted) {
			t.Errorf("asked before the delete: %v", err)
		}
		c := <-late
		w.wantFiles(t, 2, c.FileID)
		time.Sleep(10 * time.Minute)
		w.wantFiles(t, 2, c.FileID)
	})
}

// The queue doesn't make a copy again that was requested in the background, and deleted
// before.
func TestDeleteEndsARequestInTheBackground(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		reply := lostReply()
		reply.RetryAfter = 30 * time.Second
		w.depot.hook(times(1, providers.OpUpload, reply), nil)
		q := want(w.put(t, "some text", "a.txt"))
		if _, err := r.Begin(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // it has failed, and waits
		q.OperationID = "removal"
		if _, err := r.Remove(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.wantFiles(t, 1)
		if _, err := r.Copy(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("the copy: %v", err)
		}
	})
}

// While a file is fresh, a 404 means "not yet".
func TestFreshFileIsUnknown(t *testing.T) {
	t.Run("while it is processed", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
			w.depot.unknown, w.depot.status, w.depot.later = 2*time.Second, providers.StatusProcessing, providers.StatusReady
			c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
			w.wantFiles(t, 1, c.FileID)
		})
	})
	t.Run("to its text", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
			w.depot.noText = 5 * time.Second
			q := want(w.put(t, "some text", "a.txt"))
			if text := w.text(t, r, q); text != "the text of it" {
				t.Errorf("text %q", text)
			}
			w.wantFiles(t, 1, "file_1")
		})
	})
	t.Run("to a caller", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
			w.depot.unknown = 5 * time.Second
			q := want(w.put(t, "some text", "a.txt"))
			c := ensure(t, r, q)
			if again, created, err := r.ReportLost(t.Context(), q, c.FileID); err != nil || created || again.FileID != c.FileID {
				t.Errorf("%+v, created %v, error %v", again, created, err)
			}
			w.wantFiles(t, 1, c.FileID)
		})
	})
	t.Run("to its delete", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
			w.depot.unknown = 5 * time.Second
			q := want(w.put(t, "some text", "a.txt"))
			ensure(t, r, q)
			if rows, err := r.Remove(t.Context(), q); err != nil || rows[0].State != ledger.StateDeleting {
				t.Errorf("%+v, %v", rows, err)
			}
			time.Sleep(10 * time.Second)
			w.wantFiles(t, 1)
			if _, err := r.Copy(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("the copy: %v", err)
			}
		})
	})
	t.Run("to a reconcile", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
			w.depot.unlisted = 5 * time.Second
			c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
			report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: true})
			if err != nil || len(report.Gone) > 0 {
				t.Errorf("%+v, %v", report, err)
			}
			if row := w.row(t, c.Key); row.State != ledger.StateReady {
				t.Errorf("the copy is %s", row.State)
			}
		})
	})
}

// The provider answers a delete with "deleted": false. The copy is deleted if, and only
// if, the file is gone.
func TestDeleteThatDeletesNothing(t *testing.T) {
	for name, staying := range map[string]bool{"the file stays": true, "the file goes": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
				q := want(w.put(t, "some text", "a.txt"))
				c := ensure(t, r, q)
				time.Sleep(settling)
				w.depot.notDeleted, w.depot.staying = 1, staying
				confirmed := ledger.StateDeleted
				if staying {
					confirmed = ledger.StateDeleting
				}
				rows, err := r.Remove(t.Context(), q)
				if err != nil || rows[0].State != confirmed || (len(w.depot.fileIDs()) > 0) != staying {
					t.Errorf("%+v, %v; files %v", rows, err, w.depot.fileIDs())
				}
				if staying && (rows[0].Error == nil || rows[0].Error.Code != providers.CodeNotDeleted || rows[0].FileID != c.FileID) {
					t.Errorf("%+v", rows[0])
				}
				time.Sleep(time.Minute)
				w.wantFiles(t, 1)
				if _, err := r.Copy(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) {
					t.Errorf("the copy: %v", err)
				}
			})
		})
	}
}

// A file that is given up is deleted later if that fails at first.
func TestGivenUpFileIsDeletedLater(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.status, w.depot.later = providers.StatusProcessing, providers.StatusFailed
		w.depot.hook(times(3, providers.OpDelete, fail(providers.OpDelete, providers.KindTransient, "busy", nil)), nil)
		q := want(w.put(t, "some text", "a.txt"))
		if _, _, err := r.Ensure(t.Context(), q); providers.KindOf(err) != providers.KindPermanent {
			t.Errorf("error %v", err)
		}
		w.wantFiles(t, 1, "file_1")
		time.Sleep(10 * time.Minute)
		w.wantFiles(t, 1)
	})
}

// A copy failed, and then the file of its last attempt turns up: it is the copy's file.
func TestFailedCopyIsMadeOfALateFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.depot.description.Purposes[0].SettlingSeconds = settling.Seconds()
		w.depot.unlisted = 15 * time.Second
		r := w.replicator(t, func(o *replicator.Options) { o.PollInterval, o.MaxAttempts = 15*time.Second, 1 })
		run(t, r)
		w.depot.hook(nil, times(1, providers.OpUpload, lostReply()))
		q := want(w.put(t, "some text", "a.txt"))
		if _, _, err := r.Ensure(t.Context(), q); err == nil {
			t.Fatal("the attempt did not fail")
		}
		time.Sleep(time.Hour)
		copies, err := w.ledger.Copies(t.Context(), q.Digest)
		if err != nil || len(copies) != 1 || copies[0].State != ledger.StateReady {
			t.Fatalf("%+v, %v", copies, err)
		}
		w.wantFiles(t, 1, copies[0].FileID)
	})
}

// A delete ends the requests that came before it, also those that came after an earlier
// delete and wait for its end.
func TestSecondDeleteEndsOlderRequests(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.unlisted = 8 * time.Second
		w.depot.hook(nil, times(1, providers.OpUpload, lostReply()))
		q := want(w.put(t, "some text", "a.txt"))
		ask := func(operation string) <-chan error {
			q := q
			q.OperationID = operation
			end := make(chan error, 1)
			go func() { _, _, err := r.Ensure(t.Context(), q); end <- err }()
			synctest.Wait()
			return end
		}
		remove := func(operation string) {
			t.Helper()
			q := q
			q.OperationID = operation
			if rows, err := r.Remove(t.Context(), q); err != nil || rows[0].State != ledger.StateDeleting {
				t.Fatalf("%+v, %v", rows, err)
			}
		}
		first := ask("first")
		remove("delete 1")
		second := ask("second")
		remove("delete 2")
		for name, end := range map[string]<-chan error{"first": first, "second": second} {
			if err := <-end; !errors.Is(err, providers.ErrCopyDeleted) {
				t.Errorf("the %s request: %v", name, err)
			}
		}
		time.Sleep(time.Hour)
		w.wantFiles(t, 1)
		third := ask("third") // it came after both
		if err := <-third; err != nil {
			t.Error(err)
		}
	})
}

// A request that waits for the end of a delete ends with its caller.
func TestRequestDuringADeleteEndsWithItsCaller(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.unlisted = 8 * time.Second
		w.depot.hook(nil, times(1, providers.OpUpload, lostReply()))
		q := want(w.put(t, "some text", "a.txt"))
		go func() { _, _, _ = r.Ensure(t.Context(), q) }() // the delete ends it
		synctest.Wait()
		if rows, err := r.Remove(t.Context(), q); err != nil || rows[0].State != ledger.StateDeleting {
			t.Fatalf("%+v, %v", rows, err)
		}
		time.Sleep(time.Second)
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _, err := r.Ensure(ctx, q)
			cancel()
			if !errors.Is(err, providers.ErrCopyInProgress) {
				t.Errorf("the impatient caller: %v", err)
			}
		}
		time.Sleep(time.Hour)
		w.wantFiles(t, 1)
	})
}

// A list that lacks a file is no proof that the provider has lost it.
func TestReconcileAsksForAFileThatIsNotListed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.unlisted = 24 * time.Hour
		c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
		time.Sleep(time.Hour)
		report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: true})
		if err != nil || len(report.Gone)+len(report.Failures) > 0 {
			t.Errorf("%+v, %v", report, err)
		}
		if row := w.row(t, c.Key); row.State != ledger.StateReady || row.FileID != c.FileID {
			t.Errorf("the row is %+v", row)
		}
	})
}

// A file of another size that has a name of ours is somebody's who has changed it. It is
// neither adopted nor deleted.
func TestFileOfAnotherSizeIsNotOurs(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		q := want(w.put(t, "some text", "a.txt"))
		c := ensure(t, r, q)
		changed := w.depot.store("copy of "+c.RemoteName, c.Purpose, []byte("somebody's other text"))
		time.Sleep(time.Hour)
		report, err := r.Reconcile(t.Context(), "depot", replicator.ReconcileOptions{Apply: true})
		if err != nil || report.Foreign != 1 || len(report.Unknown) > 0 {
			t.Errorf("%+v, %v", report, err)
		}
		w.depot.forget(c.FileID)
		w.depot.hook(times(1, providers.OpUpload, lostReply()), nil)
		again, _, err := r.ReportLost(t.Context(), q, c.FileID)
		if err != nil || again.FileID == changed.ID {
			t.Fatalf("%+v, %v", again, err)
		}
		time.Sleep(time.Hour)
		ids := w.depot.fileIDs()
		if !slices.Contains(ids, changed.ID) || !slices.Contains(ids, again.FileID) || len(ids) != 2 {
			t.Errorf("the provider has %v", ids)
		}
	})
}

// A copy that is renewed keeps its old file until the time that callers were told. Then it
// is deleted. A delete of the copy doesn't wait for that.
func TestRenewalKeepsTheOldFile(t *testing.T) {
	for name, deletes := range map[string]bool{"until it expires": false, "or the copy is deleted": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
				const life = time.Hour
				w.depot.description.Purposes[0].LifetimeSeconds, w.depot.life = int64(life/time.Second), life
				q := want(w.put(t, "some text", "a.txt"))
				old := ensure(t, r, q)
				time.Sleep(life - 5*time.Minute)
				renewed := ensure(t, r, q)
				if again := ensure(t, r, q); renewed.FileID == old.FileID || again.FileID != renewed.FileID {
					t.Fatalf("%s was renewed as %s, and then %s", old.FileID, renewed.FileID, again.FileID)
				}
				time.Sleep(time.Until(old.ExpiresAt) - time.Minute)
				w.wantFiles(t, 2, old.FileID, renewed.FileID)
				status, err := r.Status(t.Context(), "depot")
				if err != nil || len(status.Usage) != 1 || status.Usage[0].Files != 2 || status.Usage[0].Bytes != 2*renewed.Size {
					t.Errorf("the usage is %+v, error %v", status.Usage, err)
				}
				if deletes {
					if gone, err := r.Remove(t.Context(), q); err != nil || len(gone) != 1 || gone[0].State != ledger.StateDeleted {
						t.Errorf("%+v, error %v", gone, err)
					}
					w.wantFiles(t, 2)
					return
				}
				time.Sleep(2 * time.Minute)
				w.wantFiles(t, 2, renewed.FileID)
				if row := w.row(t, renewed.Key); len(row.Strays) != 0 || row.State != ledger.StateReady {
					t.Errorf("the row is %+v", row)
				}
			})
		})
	}
}

// A provider gives files a much shorter life than it documents: a copy is renewed in the
// last tenth of it, and not at each request.
func TestShortLifeIsUsed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.description.Purposes[0].LifetimeSeconds, w.depot.life = 30*24*3600, 100*time.Second
		q := want(w.put(t, "some text", "a.txt"))
		for range 300 {
			ensure(t, r, q)
			time.Sleep(time.Second)
		}
		if n := w.depot.count(providers.OpUpload); n != 4 {
			t.Errorf("%d uploads in 300 s", n)
		}
	})
}

// The provider alone says that a file expires, and documents no lifetime: the copy is
// renewed in the last tenth of the life that it says.
func TestUndocumentedLifeIsUsed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.life = 100 * time.Second
		q := want(w.put(t, "some text", "a.txt"))
		first := ensure(t, r, q)
		time.Sleep(89 * time.Second)
		if c := ensure(t, r, q); c.FileID != first.FileID {
			t.Error("it was renewed before the last part of its life")
		}
		time.Sleep(2 * time.Second)
		if c := ensure(t, r, q); c.FileID == first.FileID {
			t.Error("it was not renewed")
		}
	})
}

// The same for a file that an old system has entered.
func TestLifeOfAnEnteredFileIsUsed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.life = 100 * time.Second
		q := want(w.put(t, "some text", "a.txt"))
		f := w.depot.store("of an old system.txt", "docs", []byte("some text"))
		if err := r.Enter(t.Context(), q, f.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(85 * time.Second)
		if c := ensure(t, r, q); c.FileID != f.ID {
			t.Fatalf("the copy is %s", c.FileID)
		}
		time.Sleep(6 * time.Second)
		if c := ensure(t, r, q); c.FileID == f.ID {
			t.Error("it was not renewed")
		}
	})
}

// A report about a copy that never was, or that a caller has deleted, uploads nothing.
func TestReportWithoutACopy(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		q := want(w.put(t, "some text", "a.txt"))
		report := func(id string) {
			t.Helper()
			uploads := w.depot.count(providers.OpUpload)
			_, _, err := r.ReportLost(t.Context(), q, id)
			if !errors.Is(err, ledger.ErrNotFound) || w.depot.count(providers.OpUpload) != uploads {
				t.Errorf("error %v, and %d uploads", err, w.depot.count(providers.OpUpload)-uploads)
			}
		}
		report("")
		report("file_1")
		c := ensure(t, r, q)
		w.depot.hook(times(1, providers.OpDelete, refusedDelete(500, providers.KindTransient)), nil)
		if rows, err := r.Remove(t.Context(), q); err != nil || rows[0].State != ledger.StateDeleting {
			t.Fatal(rows, err)
		}
		report(c.FileID)
		time.Sleep(time.Minute)
		report(c.FileID)
		report("")
	})
}

// A report names the file of a copy with another purpose than the default.
func TestReportByTheFileAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.replicator(t, nil)
	q := want(w.put(t, "some text", "a.txt"))
	q.Purpose = "image"
	w.depot.description.Purposes[1].Extensions = nil
	c := ensure(t, r, q)
	w.depot.forget(c.FileID)
	q.Purpose = ""
	again, created, err := r.ReportLost(t.Context(), q, c.FileID)
	if err != nil || !created || again.Purpose != "image" || again.FileID == c.FileID {
		t.Errorf("%+v, created %t, error %v", again, created, err)
	}
}

// The provider says that it deleted nothing, a lookup doesn't find the file, and the list has
// it: the delete is not done.
func TestDeleteOfAFileThatIsOnlyListed(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		q := want(w.put(t, "some text", "a.txt"))
		ensure(t, r, q)
		time.Sleep(settling)
		w.depot.change(func(d *depot) { d.notDeleted, d.staying = 3, true })
		w.depot.hook(only(providers.OpRetrieve, func(context.Context, string) error { return lost(providers.OpRetrieve) }), nil)
		rows, err := r.Remove(t.Context(), q)
		if err != nil || rows[0].State != ledger.StateDeleting || rows[0].Error == nil || rows[0].Error.Code != providers.CodeUnconfirmed {
			t.Errorf("%+v, %v", rows, err)
		}
		time.Sleep(time.Minute)
		w.wantFiles(t, 1)
		if _, err := r.Copy(t.Context(), q); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("the copy: %v", err)
		}
	})
}

// A provider that doesn't answer has not said that it doesn't know an old file.
func TestReportOfAnOldFileWithoutAnAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		q := want(w.put(t, "some text", "a.txt"))
		c := ensure(t, r, q)
		time.Sleep(time.Hour)
		g := newGate()
		w.depot.hook(only(providers.OpRetrieve, func(ctx context.Context, _ string) error { return g.pass(ctx) }), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, _, err := r.ReportLost(ctx, q, c.FileID)
		if !errors.Is(err, providers.ErrCopyInProgress) || !strings.Contains(err.Error(), "has not answered yet") || strings.Contains(err.Error(), "new") {
			t.Errorf("error %v", err)
		}
		g.open()
		synctest.Wait()
		if row := w.row(t, c.Key); row.State != ledger.StateReady {
			t.Errorf("the row is %s", row.State)
		}
	})
}

// A provider's clock is an hour slow: a file of which it says that it has expired counts as
// living as long as it says.
func TestSlowClockOfAProvider(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.change(func(d *depot) { d.life, d.behind = 10*time.Minute, time.Hour })
		q := want(w.put(t, "some text", "a.txt"))
		first := ensure(t, r, q)
		time.Sleep(8 * time.Minute)
		if again := ensure(t, r, q); again.FileID != first.FileID || w.depot.count(providers.OpUpload) != 1 {
			t.Errorf("%s after %s, %d uploads", again.FileID, first.FileID, w.depot.count(providers.OpUpload))
		}
	})
}

// A young file that is really gone is reported as lost. The caller doesn't wait for the
// settling time, and the look goes on.
func TestReportOfAYoungFile(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		q := want(w.put(t, "some text", "a.txt"))
		c := ensure(t, r, q)
		w.depot.forget(c.FileID)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		now, _, err := r.ReportLost(ctx, q, c.FileID)
		if !errors.Is(err, providers.ErrCopyInProgress) || now.State != ledger.StateReady || !strings.Contains(err.Error(), "counts as lost") {
			t.Errorf("%+v, error %v", now, err)
		}
		time.Sleep(settling)
		if row := w.row(t, c.Key); row.State != ledger.StateLost {
			t.Errorf("the row is %s", row.State)
		}
		again, created, err := r.ReportLost(t.Context(), q, c.FileID)
		if err != nil || !created || again.FileID == c.FileID {
			t.Errorf("%+v, created %t, error %v", again, created, err)
		}
	})
}

// A provider whose code says that it is overloaded has stored nothing: no settling time
// passes before the next attempt.
func TestOverloadedProviderStoresNothing(t *testing.T) {
	for _, status := range []int{503, 529} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
				overloaded := fail(providers.OpUpload, providers.KindTransient, "overloaded_error", nil)
				overloaded.Status, overloaded.NotBegun = status, true
				w.depot.hook(times(1, providers.OpUpload, overloaded), nil)
				began := time.Now()
				c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
				if waited := time.Since(began); waited > 2*time.Second || w.depot.count(providers.OpList) > 0 {
					t.Errorf("it took %v, and %d lists", waited, w.depot.count(providers.OpList))
				}
				w.wantFiles(t, 2, c.FileID)
			})
		})
	}
}

// The status alone doesn't say that nothing was stored: a proxy may send it after the whole
// upload, and the file turns up later.
func TestUnavailableProviderMayHaveStored(t *testing.T) {
	for _, status := range []int{503, 529} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
				w.depot.unlisted = 15 * time.Second
				unavailable := fail(providers.OpUpload, providers.KindTransient, "server_unavailable", nil)
				unavailable.Status = status
				w.depot.hook(nil, times(1, providers.OpUpload, unavailable))
				c := ensure(t, r, want(w.put(t, "some text", "a.txt")))
				w.wantFiles(t, 1, c.FileID)
			})
		})
	}
}

// The provider says that a file is ready long before it has the text. Until it has had the
// time to process a file, that is no "no text".
func TestTextComesAfterTheFileIsReady(t *testing.T) {
	for name, noText := range map[string]time.Duration{"a text": 10 * time.Minute, "no text": time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
				w.depot.change(func(d *depot) { d.noText = noText })
				q := want(w.put(t, "some text", "a.txt"))
				for range 14 {
					if _, err := r.Text(t.Context(), q); err == nil && noText < time.Hour {
						w.wantFiles(t, 1, "file_1")
						return
					} else if !errors.Is(err, providers.ErrCopyInProgress) {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				time.Sleep(time.Minute)
				_, err := r.Text(t.Context(), q)
				if e, ok := errors.AsType[*providers.Error](err); !ok || e.Code != providers.CodeNoText || e.Kind != providers.KindPermanent {
					t.Errorf("error %v", err)
				}
				w.wantFiles(t, 1, "file_1")
			})
		})
	}
}

// A copy failed permanently, since the provider didn't process the file. A text and a reference
// are had with Retry, as the message says.
func TestTextAndReferenceAreTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.change(func(d *depot) { d.status, d.later = providers.StatusProcessing, providers.StatusFailed })
		for name, ask := range map[string]func(q replicator.Request) error{
			"text":              func(q replicator.Request) error { _, err := r.Text(t.Context(), q); return err },
			"reference":         func(q replicator.Request) error { _, err := r.Reference(t.Context(), q, "file_id"); return err },
			"reference by text": func(q replicator.Request) error { _, err := r.Reference(t.Context(), q, "text"); return err },
		} {
			q := want(w.put(t, name, "a.txt"))
			for range 2 {
				if ask(q) == nil {
					t.Fatalf("%s: no error", name)
				}
			}
			uploads := w.depot.count(providers.OpUpload)
			w.depot.change(func(d *depot) { d.later = providers.StatusReady })
			if err := ask(q); err == nil || w.depot.count(providers.OpUpload) != uploads {
				t.Errorf("%s without Retry: %v", name, err)
			}
			q.Retry = true
			if err := ask(q); err != nil || w.depot.count(providers.OpUpload) != uploads+1 {
				t.Errorf("%s: %v", name, err)
			}
			w.depot.change(func(d *depot) { d.later = providers.StatusFailed })
		}
	})
}

// A file that the provider never finishes to process, and a request for its text, end with
// an error.
func TestProcessingEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world, r *replicator.Replicator) {
		w.depot.change(func(d *depot) { d.status, d.later = providers.StatusProcessing, providers.StatusProcessing })
		q := want(w.put(t, "some text", "a.txt"))
		began := time.Now()
		_, err := r.Text(t.Context(), q)
		e, ok := errors.AsType[*providers.Error](err)
		if waited := time.Since(began); !ok || e.Kind != providers.KindPermanent || e.Code != providers.CodeTimeout || waited > 16*time.Minute {
			t.Errorf("after %v: %v", waited, err)
		}
		time.Sleep(time.Hour)
		w.wantFiles(t, 1)
	})
}
