// Package indextest is the conformance kit of indexes: one test for each sentence of the
// contracts of cas.Index, ledger.Store and the gateway's other interfaces, and a comparison
// with a plain model through random histories. An index is correct if Run passes. Its own
// tests need only cover what is special about it.
package indextest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/collector"
	"casgate/cas/journal"
	"casgate/cas/reindexer"
	"casgate/cas/scrubber"
	"casgate/index"
	"casgate/index/export"
	"casgate/migrations"
	"casgate/providers/ledger"
)

// TokenStore is the part of an index that keeps API tokens. Where there is no such
// token errors wrap access.ErrTokenNotFound.
type TokenStore interface {
	CreateToken(ctx context.Context, t access.Token) (access.Token, error)
	Token(ctx context.Context, id string) (access.Token, error)
	Tokens(ctx context.Context) ([]access.Token, error)
	TokenPage(ctx context.Context, q access.TokenQuery) ([]access.Token, error)
	RevokeToken(ctx context.Context, id string) error
	UseTokens(ctx context.Context, lastUsed map[string]time.Time) error
}

// KeyStore is the part of an index that keeps the keys of signed URLs. Where
// there is no such key errors wrap access.ErrKeyNotFound.
type KeyStore interface {
	SigningKeys(ctx context.Context) ([]access.SigningKey, error)
	AddSigningKey(ctx context.Context, k access.SigningKey) error
	RetireSigningKey(ctx context.Context, id string) error
}

// Migrator is the part of an index that looks after its schema.
type Migrator interface {
	Migrate(ctx context.Context) error
	MigrationStatus(ctx context.Context) ([]migrations.Status, error)
	CheckSchema(ctx context.Context) error
}

// Index is all that the kit tests at once.
type Index interface {
	cas.Index
	collector.Index
	collector.RetentionIndex
	collector.OrphanIndex
	scrubber.Index
	reindexer.Index
	export.Source
	export.Target
	cas.TextIndex
	TokenStore
	KeyStore
	ledger.Store
	cas.FileIndex
	journal.Store
	index.InventorySource
}

// TimeSetter is an optional ability of an index under test. With it the kit tests
// what depends on time, without waiting. Without it those tests are skipped.
type TimeSetter interface {
	// SetTime makes every time that d's row has the given one.
	SetTime(t testing.TB, d cas.Digest, at time.Time)
}

// Run tests an index. Open is called for each test and returns one that is
// migrated and empty, and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) Index) {
	t.Run("Marks of two indexes", func(t *testing.T) { runTwoMarks(t, open) })
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Blob", blobTests},
		{"Touch", touchTests},
		{"Commit", commitTests},
		{"Condemn", condemnTests},
		{"Suspect", suspectTests},
		{"SetMediaType", mediaTypeTests},
		{"FillName", fillNameTests},
		{"Collect", collectTests},
		{"Collection", collectionTests},
		{"Scrub", scrubTests},
		{"Texts", textsTests},
		{"Retention", retentionTests},
		{"Inventory", inventoryTests},
		{"Orphans", orphansTests},
		{"Adopt", adoptTests},
		{"Export", exportTests},
		{"Missing", missingTests},
		{"List", listTests},
		{"Text", textTests},
		{"Tokens", tokenTests},
		{"SigningKeys", keyTests},
		{"Context", contextTests},
		{"Concurrent", concurrentTests},
		{"Model", modelTests},
		{"Copy", copyTests},
		{"Copies", copiesTests},
		{"CopyOfOperation", copyOfOperationTests},
		{"EnterCopy", enterCopyTests},
		{"RequestCopy", requestCopyTests},
		{"ClaimCopy", claimCopyTests},
		{"ExtendLease", extendLeaseTests},
		{"CompleteCopy", completeCopyTests},
		{"FailCopy", failCopyTests},
		{"LoseCopy", loseCopyTests},
		{"DeleteCopy", deleteCopyTests},
		{"FinishDelete", finishDeleteTests},
		{"FailDelete", failDeleteTests},
		{"EvictCopy", evictCopyTests},
		{"NoteLook", noteLookTests},
		{"UseCopies", useCopiesTests},
		{"DueCopies", dueCopiesTests},
		{"CopyUsage", copyUsageTests},
		{"CopyTotals", copyTotalsTests},
		{"CopiesAt", copiesAtTests},
		{"ExtractedText", extractedTextTests},
		{"Mark", markTests},
		{"MoveAccount", moveAccountTests},
		{"LedgerModel", ledgerModelTests},
		{"CreateFile", createFileTests},
		{"CommitFile", commitFileTests},
		{"File", fileTests},
		{"DeleteFile", deleteFileTests},
		{"ReleaseFile", releaseFileTests},
		{"ListFiles", listFilesTests},
		{"FileMetadata", fileMetadataTests},
		{"TouchFiles", touchFilesTests},
		{"ProlongFiles", prolongFilesTests},
		{"ExpireFiles", expireFilesTests},
		{"ImportFiles", importFilesTests},
		{"ResolveFile", resolveFileTests},
		{"CommitResolved", commitResolvedTests},
		{"FailFile", failFileTests},
		{"IdempotencyKeys", idempotencyKeyTests},
		{"FilesConcurrent", filesConcurrentTests},
		{"FilesLostReply", filesLostReplyTests},
		{"Journal", journalTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					x := open(t)
					test.run(t, x)
					if counter, ok := x.(FileCounter); ok && !t.Failed() {
						counter.CheckFileCounts(t)
					}
				})
			}
		})
	}
}

// test is one sentence of the contract.
type test struct {
	name string
	run  func(t *testing.T, x Index)
}

// size is that of every blob the kit commits, unless it says otherwise.
const size = 11

// digest makes a digest of its own for each test and number.
func digest(t testing.TB, n int) cas.Digest {
	return cas.DigestOf(fmt.Appendf(nil, "%s %d", t.Name(), n))
}

// blob is a blob as an upload commits it.
func blob(d cas.Digest, generation int32) cas.Blob {
	return cas.Blob{Digest: d, Size: size, MediaType: "text/plain", Name: "a.txt", Generation: generation}
}

// commit calls Commit, and fails the test on an error.
func commit(t testing.TB, x Index, b cas.Blob) (row cas.Blob, created bool) {
	t.Helper()
	row, created, err := x.Commit(t.Context(), b)
	if err != nil {
		t.Fatalf("Commit(%s, generation %d): %v", b.Digest.Short(), b.Generation, err)
	}
	if row.Digest != b.Digest {
		t.Fatalf("Commit(%s) returned the row of %s", b.Digest.Short(), row.Digest.Short())
	}
	return row, created
}

// condemn calls Condemn, and fails the test on an error.
func condemn(t testing.TB, x Index, d cas.Digest) {
	t.Helper()
	if err := x.Condemn(t.Context(), d, cas.CondemnOptions{}); err != nil {
		t.Fatalf("Condemn(%s): %v", d.Short(), err)
	}
}

// StartDeleting begins to collect blobs, and returns their objects.
func StartDeleting(ctx context.Context, x collector.Index, grace time.Duration, limit int) ([]cas.ObjectRef, error) {
	objects, err := x.StartDeleting(ctx, collector.Batch{Grace: grace, Retry: 10 * time.Minute, Limit: limit})
	var refs []cas.ObjectRef
	for _, o := range objects {
		refs = append(refs, o.ObjectRef)
	}
	return refs, err
}

// suspect calls Suspect, and fails the test on an error.
func suspect(t testing.TB, x Index, ref cas.ObjectRef) {
	t.Helper()
	if err := x.Suspect(t.Context(), ref); err != nil {
		t.Fatalf("Suspect(%s, generation %d): %v", ref.Digest.Short(), ref.Generation, err)
	}
}

// none stands for the absence of a row.
const none cas.State = "none"

// states lists the states of a row.
var states = []cas.State{none, cas.StateLive, cas.StateSuspect, cas.StateCondemned, cas.StateDeleting, cas.StateGone}

// arrange brings a new blob into a state.
func arrange(t testing.TB, x Index, b cas.Blob, want cas.State) {
	t.Helper()
	if want == none {
		return
	}
	commit(t, x, b)
	if want == cas.StateSuspect {
		suspect(t, x, b.Object())
	}
	if want == cas.StateLive || want == cas.StateSuspect {
		return
	}
	condemn(t, x, b.Digest)
	if want == cas.StateCondemned {
		return
	}
	// Others that the test left condemned may come along; it is done with them.
	if _, err := StartDeleting(t.Context(), x, 0, 1<<20); err != nil {
		t.Fatalf("StartDeleting: %v", err)
	}
	if want == cas.StateGone {
		if err := x.FinishDeleting(t.Context(), b.Object()); err != nil {
			t.Fatalf("FinishDeleting: %v", err)
		}
	}
}

// observe returns a row's state and generation. The reads must agree with them.
func observe(t testing.TB, x Index, d cas.Digest) (state cas.State, generation int32) {
	t.Helper()
	row, err := x.Touch(t.Context(), d)
	if errors.Is(err, cas.ErrBlobNotFound) {
		row.State, err = none, nil
	}
	if err != nil {
		t.Fatalf("Touch(%s): %v", d.Short(), err)
	}
	seen, err := x.Blob(t.Context(), d)
	switch {
	case row.State.Visible() && (err != nil || seen != row):
		t.Fatalf("Touch(%s) returned %+v, and Blob %+v, error %v", d.Short(), row, seen, err)
	case !row.State.Visible() && !errors.Is(err, cas.ErrBlobNotFound):
		t.Fatalf("Touch(%s) returned a %s row, and Blob %+v, error %v", d.Short(), row.State, seen, err)
	}
	return row.State, row.Generation
}

// expect fails the test unless the row is in this state and generation.
func expect(t testing.TB, x Index, d cas.Digest, state cas.State, generation int32) {
	t.Helper()
	gotState, gotGeneration := observe(t, x, d)
	if gotState != state || (state != none && gotGeneration != generation) {
		t.Errorf("the row is %s at generation %d; want %s at generation %d", gotState, gotGeneration, state, generation)
	}
}

// notFound fails the test unless err is about a blob that isn't there, and not
// about the index.
func notFound(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, cas.ErrBlobNotFound) || errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("%s: error %v; want one that wraps ErrBlobNotFound only", what, err)
	}
}

// same fails the test if two values differ.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not as it should be (-want +got):\n%s", what, diff)
	}
}
