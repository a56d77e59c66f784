package indextest

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/collector"
	"casgate/cas/journal"
	"casgate/migrations"
	"casgate/providers"
	"casgate/providers/ledger"
)

var textTests = []test{
	{"keeps any UTF-8", func(t *testing.T, x Index) {
		for i, text := range []string{
			"", " ", "Zusammenfassung – Größe.pdf", "文件.txt", "a\nb\tc\\d'e\"f$1%s", "\u202etxt.exe", "😀", "\ufffd", "\x7f\u0080",
		} {
			b := blob(digest(t, i), 0)
			b.Name, b.MediaType = text, text
			commit(t, x, b)
			got, err := x.Blob(t.Context(), b.Digest)
			if err != nil || got.Name != text || got.MediaType != text {
				t.Errorf("%q came back as %q and %q, error %v", text, got.Name, got.MediaType, err)
			}
		}
	}},
	{"refuses NUL and invalid UTF-8", func(t *testing.T, x Index) {
		for i, text := range []string{"a\x00b", "\x00", "\xff", "a\xc3"} {
			for j, b := range []cas.Blob{
				{Digest: digest(t, 2*i), Name: text},
				{Digest: digest(t, 2*i+1), MediaType: text},
			} {
				_, _, err := x.Commit(t.Context(), b)
				if !errors.Is(err, cas.ErrInvalidText) || errors.Is(err, cas.ErrIndexUnavailable) {
					t.Errorf("%q in field %d: error %v; want one that wraps ErrInvalidText only", text, j, err)
				}
				expect(t, x, b.Digest, none, 0)
			}
			token, _ := access.NewToken(text, []access.Scope{access.ScopeRead}, time.Time{})
			if _, err := x.CreateToken(t.Context(), token); !errors.Is(err, cas.ErrInvalidText) {
				t.Errorf("a token named %q: error %v", text, err)
			}
		}
	}},
}

// calls has one call of each method, for rules that all methods share.
func calls(x Index, d cas.Digest) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Blob":           func(ctx context.Context) error { _, err := x.Blob(ctx, d); return err },
		"Touch":          func(ctx context.Context) error { _, err := x.Touch(ctx, d); return err },
		"Commit":         func(ctx context.Context) error { _, _, err := x.Commit(ctx, blob(d, 0)); return err },
		"Condemn":        func(ctx context.Context) error { return x.Condemn(ctx, d, cas.CondemnOptions{}) },
		"Suspect":        func(ctx context.Context) error { return x.Suspect(ctx, cas.ObjectRef{Digest: d}) },
		"SetMediaType":   func(ctx context.Context) error { return x.SetMediaType(ctx, d, "text/plain", "text/csv") },
		"FillName":       func(ctx context.Context) error { return x.FillName(ctx, d, "a") },
		"Missing":        func(ctx context.Context) error { _, err := x.Missing(ctx, []cas.Digest{d}); return err },
		"List":           func(ctx context.Context) error { _, err := x.List(ctx, cas.Query{Limit: 1}); return err },
		"Check":          x.Check,
		"StartDeleting":  func(ctx context.Context) error { _, err := StartDeleting(ctx, x, 0, 1); return err },
		"FinishDeleting": func(ctx context.Context) error { return x.FinishDeleting(ctx, cas.ObjectRef{Digest: d}) },
		"Due":            func(ctx context.Context) error { _, err := x.Due(ctx, collector.DueQuery{}); return err },
		"SaveRun":        func(ctx context.Context) error { _, err := x.SaveRun(ctx, run("a", 0), 0); return err },
		"LastRun":        func(ctx context.Context) error { _, _, err := x.LastRun(ctx); return err },
		"Texts":          func(ctx context.Context) error { _, err := x.Texts(ctx, d); return err },
		"CreateToken": func(ctx context.Context) error {
			_, err := x.CreateToken(ctx, access.Token{ID: "a", Name: "a"})
			return err
		},
		"Token":       func(ctx context.Context) error { _, err := x.Token(ctx, "a"); return err },
		"Tokens":      func(ctx context.Context) error { _, err := x.Tokens(ctx); return err },
		"RevokeToken": func(ctx context.Context) error { return x.RevokeToken(ctx, "a") },
		"UseTokens": func(ctx context.Context) error {
			return x.UseTokens(ctx, map[string]time.Time{"a": time.Now()})
		},
		"SigningKeys":      func(ctx context.Context) error { _, err := x.SigningKeys(ctx); return err },
		"AddSigningKey":    func(ctx context.Context) error { return x.AddSigningKey(ctx, access.NewSigningKey()) },
		"RetireSigningKey": func(ctx context.Context) error { return x.RetireSigningKey(ctx, "a") },
	}
}

// ledgerCalls lists one call of each method of the ledger, about the copy w, which
// isn't there.
func ledgerCalls(x Index, w ledger.Wanted) map[string]func(ctx context.Context) error {
	k := w.Key
	text := ledger.TextKey{Digest: k.Digest, Provider: k.Provider}
	failure := ledger.Failure{State: ledger.StateDeleting}
	return map[string]func(ctx context.Context) error{
		"Copy":            func(ctx context.Context) error { _, err := x.Copy(ctx, k); return err },
		"Copies":          func(ctx context.Context) error { _, err := x.Copies(ctx, k.Digest); return err },
		"CopyOfOperation": func(ctx context.Context) error { _, err := x.CopyOfOperation(ctx, "a"); return err },
		"RequestCopy":     func(ctx context.Context) error { _, _, err := x.Change(ctx, ledger.Request(w)); return err },
		"ClaimCopy":       func(ctx context.Context) error { _, _, err := x.Change(ctx, ledger.Claim(w, long)); return err },
		"ExtendLease": func(ctx context.Context) error {
			_, _, err := x.Change(ctx, ledger.ExtendLease(k, 1, long))
			return err
		},
		"CompleteCopy": func(ctx context.Context) error {
			_, _, err := x.Change(ctx, ledger.Complete(k, 1, file("1", providers.StatusReady, time.Time{})))
			return err
		},
		"FailCopy":   func(ctx context.Context) error { _, _, err := x.Change(ctx, ledger.Fail(k, 1, failure)); return err },
		"LoseCopy":   func(ctx context.Context) error { _, _, err := x.Change(ctx, ledger.Lose(k, "1", 1, long)); return err },
		"DeleteCopy": func(ctx context.Context) error { _, _, err := x.Change(ctx, ledger.Delete(k, "", long)); return err },
		"FinishDelete": func(ctx context.Context) error {
			_, _, err := x.Change(ctx, ledger.FinishDelete(k, 1, ledger.StateDeleted, 0))
			return err
		},
		"NoteLook": func(ctx context.Context) error {
			_, _, err := x.Change(ctx, ledger.NoteLook(k, 0, ledger.Look{}))
			return err
		},
		"FailDelete": func(ctx context.Context) error {
			_, _, err := x.Change(ctx, ledger.FailDelete(k, 1, failure))
			return err
		},
		"LeastUsed": func(ctx context.Context) error { _, err := x.LeastUsed(ctx, k, "", 1); return err },
		"Expired":   func(ctx context.Context) error { _, err := x.Expired(ctx, k, "", 1); return err },
		"Deletes":   func(ctx context.Context) error { _, err := x.Deletes(ctx, k.Account); return err },
		"EvictLeastUsed": func(ctx context.Context) error {
			_, _, err := EvictLeastUsed(ctx, x, ledger.Eviction{Room: k}, long)
			return err
		},
		"UseCopies":     func(ctx context.Context) error { return x.UseCopies(ctx, map[ledger.Key]time.Time{k: time.Now()}) },
		"DueCopies":     func(ctx context.Context) error { _, err := x.DueCopies(ctx, []string{account}, 1); return err },
		"CopyUsage":     func(ctx context.Context) error { _, err := x.CopyUsage(ctx, account); return err },
		"CopiesAt":      func(ctx context.Context) error { _, err := x.CopiesAt(ctx, provider, ledger.Key{}, 1); return err },
		"ExtractedText": func(ctx context.Context) error { _, err := x.ExtractedText(ctx, text); return err },
		"Mark":          func(ctx context.Context) error { _, err := x.Mark(ctx); return err },
		"SetExtractedText": func(ctx context.Context) error {
			return x.SetExtractedText(ctx, text, k.Digest)
		},
	}
}

var contextTests = []test{
	{"is honoured by every call, and named in its error", func(t *testing.T, x Index) {
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		all := calls(x, digest(t, 0))
		maps.Copy(all, ledgerCalls(x, wanted(t, 0)))
		maps.Copy(all, fileCalls(x, fileOf(t, 0, digest(t, 0)), imported(t, 1)))
		maps.Copy(all, journalCalls(x, record(t, 0)))
		for name, call := range all {
			if err := call(cancelled); !errors.Is(err, context.Canceled) {
				t.Errorf("%s with a cancelled context: %v", name, err)
			}
			if err := call(late); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s past its deadline: %v", name, err)
			}
		}
		expect(t, x, digest(t, 0), none, 0)
		if list, err := x.Copies(t.Context(), digest(t, 0)); err != nil || len(list) != 0 {
			t.Errorf("there are %+v, error %v", list, err)
		}
		if list := listFiles(t, x, cas.FileQuery{Limit: 10}); len(list) != 0 {
			t.Errorf("there are %+v", list)
		}
		if list := listRecords(t, x, journal.Query{Limit: 10}); len(list) != 0 {
			t.Errorf("there are %+v", list)
		}
	}},
	{"leaves the index usable after many were cancelled", func(t *testing.T, x Index) {
		for i := range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				x.Commit(ctx, blob(digest(t, i), 0))
			}()
			cancel()
			<-done
		}
		for i := range 50 {
			commit(t, x, blob(digest(t, i), 0))
			expect(t, x, digest(t, i), cas.StateLive, 0)
		}
	}},
	{"makes Check succeed while there is time", func(t *testing.T, x Index) {
		if err := x.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}},
}

// RunMigrations tests how an index brings up its schema. Open returns n handles
// of one database on which nothing was ever migrated, as n processes would have
// them, and closes them when the test ends.
func RunMigrations(t *testing.T, open func(t *testing.T, n int) []Migrator) {
	t.Run("from nothing, and again", func(t *testing.T) {
		t.Parallel()
		x := open(t, 1)[0]
		if err := x.CheckSchema(t.Context()); !errors.Is(err, migrations.ErrSchema) {
			t.Errorf("CheckSchema before: %v; want an ErrSchema", err)
		}
		checkStatus(t, x, false)
		for range 2 {
			if err := x.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := x.CheckSchema(t.Context()); err != nil {
				t.Errorf("CheckSchema after: %v", err)
			}
			checkStatus(t, x, true)
		}
	})
	t.Run("at the same time", func(t *testing.T) {
		t.Parallel()
		handles := open(t, 3)
		errs := make(chan error)
		for _, x := range handles {
			for range 2 {
				go func() { errs <- x.Migrate(t.Context()) }()
			}
		}
		for range 2 * len(handles) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		checkStatus(t, handles[0], true)
	})
}

// checkStatus fails the test unless all migrations are applied, or none.
func checkStatus(t *testing.T, x Migrator, applied bool) {
	t.Helper()
	list, err := x.MigrationStatus(t.Context())
	if err != nil || len(list) == 0 {
		t.Fatalf("%d migrations, error %v", len(list), err)
	}
	last := int64(0)
	for _, m := range list {
		recent := time.Since(m.AppliedAt).Abs() < 24*time.Hour
		if m.Version <= last || m.Name == "" || m.Applied != applied || recent != applied || m.AppliedAt.IsZero() == applied {
			t.Errorf("migration %+v, after %d; want applied %v", m, last, applied)
		}
		last = m.Version
	}
}
