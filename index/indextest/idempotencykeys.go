package indextest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"casgate/cas"
)

// KeyAger is an optional ability of an index under test. With it the kit tests how long
// idempotency keys count.
type KeyAger interface {
	// AgeKey makes an idempotency key older.
	AgeKey(t testing.TB, k cas.IdempotencyKey, by time.Duration)
	// HasKey reports whether an idempotency key is stored, whether it counts or not.
	HasKey(t testing.TB, k cas.IdempotencyKey) bool
}

// key makes an idempotency key of its own for each test and number.
func key(t testing.TB, n int) *cas.IdempotencyKey {
	return &cas.IdempotencyKey{ID: sha256.Sum256(fmt.Appendf(nil, "%s %d", t.Name(), n)), Request: sha256.Sum256([]byte("a request"))}
}

// otherRequest returns the same key of another request.
func otherRequest(k *cas.IdempotencyKey) *cas.IdempotencyKey {
	other := *k
	other.Request[0]++
	return &other
}

// creators are the ways in which an index creates a file. Their blobs are live.
var creators = map[string]func(t *testing.T, x Index, n cas.NewFile) (cas.File, error){
	"CreateFile": func(t *testing.T, x Index, n cas.NewFile) (cas.File, error) { return x.CreateFile(t.Context(), n) },
	"CommitFile": func(t *testing.T, x Index, n cas.NewFile) (cas.File, error) {
		done, err := x.CommitFile(t.Context(), blob(n.Digest, 0), n)
		if err == nil && done.Row.State != cas.StateLive {
			t.Errorf("CommitFile: %+v", done.Row)
		}
		return done.File, err
	},
}

// withCreators makes a test of each way to create a file.
func withCreators(name string, run func(t *testing.T, x Index, create func(cas.NewFile) (cas.File, error))) []test {
	var tests []test
	for way, create := range creators {
		tests = append(tests, test{way + " " + name, func(t *testing.T, x Index) {
			run(t, x, func(n cas.NewFile) (cas.File, error) { return create(t, x, n) })
		}})
	}
	return tests
}

var idempotencyKeyTests = slices.Concat([]test{
	{"KeepUpload returns the first result", func(t *testing.T, x Index) {
		d, other := live(t, x, 0), live(t, x, 1)
		for i, stored := range []bool{true, false} {
			for _, again := range []bool{stored, !stored} {
				if first, err := x.KeepUpload(t.Context(), *key(t, i), cas.KeptUpload{Digest: d, Stored: again}); err != nil || first != stored {
					t.Errorf("%d: %t, %v; want %t", i, first, err, stored)
				}
			}
		}
		for what, err := range map[string]error{
			"other bytes":       second(x.KeepUpload(t.Context(), *key(t, 0), cas.KeptUpload{Digest: other, Stored: true})),
			"another request":   second(x.KeepUpload(t.Context(), *otherRequest(key(t, 0)), cas.KeptUpload{Digest: d, Stored: true})),
			"the key of a file": second(x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 1, d), Key: otherRequest(key(t, 0))})),
		} {
			keyReused(t, what, err)
		}
	}},
	{"KeepUpload of many at once returns one result", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		for round := range rounds {
			var mu sync.Mutex
			firsts := map[bool]int{}
			together(6, func(i int) {
				first, err := x.KeepUpload(t.Context(), *key(t, round), cas.KeptUpload{Digest: d, Stored: i%2 == 0})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				firsts[first]++
			})
			if len(firsts) != 1 {
				t.Errorf("results: %v", firsts)
			}
		}
	}},
	{"KeyUse returns the upload that used the key", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		createKeyed(t, x, fileOf(t, 1, d), key(t, 0))
		if _, err := x.KeepUpload(t.Context(), *otherRequest(key(t, 1)), cas.KeptUpload{Digest: d}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []*cas.KeyUse{{Request: key(t, 0).Request, Digest: d, FileID: fileID(t, 1)}, {Request: otherRequest(key(t, 1)).Request, Digest: d}, nil} {
			use, err := x.KeyUse(t.Context(), key(t, i).ID)
			if err != nil || (use == nil) != (want == nil) || use != nil && *use != *want {
				t.Errorf("%d: %v, %v; want %v", i, use, err, want)
			}
		}
		ager, ok := x.(KeyAger)
		if !ok {
			t.Skip("this index can't age keys")
		}
		ager.AgeKey(t, *key(t, 0), cas.IdempotencyKeyLife)
		if use, err := x.KeyUse(t.Context(), key(t, 0).ID); use != nil || err != nil {
			t.Errorf("after a day: %v, %v", use, err)
		}
	}},
	{"count for a day, and are then removed", func(t *testing.T, x Index) {
		ager, ok := x.(KeyAger)
		if !ok {
			t.Skip("this index can't age keys")
		}
		d := live(t, x, 0)
		first := createKeyed(t, x, fileOf(t, 1, d), key(t, 0))
		if _, err := x.KeepUpload(t.Context(), *key(t, 1), cas.KeptUpload{Digest: d, Stored: true}); err != nil {
			t.Fatal(err)
		}
		age := func(by time.Duration) {
			for i := range 2 {
				ager.AgeKey(t, *key(t, i), by)
			}
		}
		age(cas.IdempotencyKeyLife - time.Hour)
		expire(t, x)
		if again := createKeyed(t, x, fileOf(t, 2, d), key(t, 0)); again.ID != first.ID {
			t.Errorf("within the day: %s and %s", first.ID, again.ID)
		}
		age(time.Hour)
		// Old keys no longer count, whether they are removed or not.
		if again := createKeyed(t, x, fileOf(t, 3, d), otherRequest(key(t, 0))); again.ID != fileID(t, 3) {
			t.Errorf("after the day: %s", again.ID)
		}
		if kept, err := x.KeepUpload(t.Context(), *otherRequest(key(t, 1)), cas.KeptUpload{Digest: d, Stored: false}); err != nil || kept {
			t.Errorf("after the day: %t, %v", kept, err)
		}
		age(cas.IdempotencyKeyLife)
		expire(t, x)
		for i := range 2 {
			if ager.HasKey(t, *key(t, i)) {
				t.Errorf("key %d is still there", i)
			}
		}
	}},
},
	withCreators("returns the file of the first upload", func(t *testing.T, x Index, create func(cas.NewFile) (cas.File, error)) {
		d := live(t, x, 0)
		for i, unique := range []bool{true, false} {
			first, err := create(cas.NewFile{File: fileOf(t, 10*i, d), Unique: unique, Key: key(t, i)})
			if err != nil {
				t.Fatal(err)
			}
			again, err := create(cas.NewFile{File: fileOf(t, 10*i+1, d), Unique: unique, Key: key(t, i)})
			if err != nil {
				t.Error(err)
			}
			sameFile(t, "the file", again, first)
			_, err = x.File(t.Context(), fileID(t, 10*i+1))
			noFile(t, "the second upload's file", err)
			deleteFile(t, x, first.ID)
			_, err = create(cas.NewFile{File: fileOf(t, 10*i+2, d), Unique: unique, Key: key(t, i)})
			noFile(t, "after the file is deleted", err)
		}
		condemn(t, x, d)
	}),
	withCreators("refuses a key of another request", func(t *testing.T, x Index, create func(cas.NewFile) (cas.File, error)) {
		d, other := live(t, x, 0), live(t, x, 1)
		if _, err := create(cas.NewFile{File: fileOf(t, 1, d), Key: key(t, 0)}); err != nil {
			t.Fatal(err)
		}
		keyReused(t, "other bytes", second(create(cas.NewFile{File: fileOf(t, 2, other), Key: key(t, 0)})))
		keyReused(t, "another request", second(create(cas.NewFile{File: fileOf(t, 3, d), Key: otherRequest(key(t, 0))})))
		keyReused(t, "no file", second(x.KeepUpload(t.Context(), *otherRequest(key(t, 0)), cas.KeptUpload{Digest: d, Stored: true})))
		condemn(t, x, other)
		if _, err := create(cas.NewFile{File: fileOf(t, 4, d), Key: key(t, 1)}); err != nil {
			t.Errorf("with another key: %v", err)
		}
	}),
	withCreators("records no key if the file is refused", func(t *testing.T, x Index, create func(cas.NewFile) (cas.File, error)) {
		d := live(t, x, 0)
		there := createFile(t, x, fileOf(t, 1, d))
		if _, err := create(cas.NewFile{File: fileOf(t, 2, d), Unique: true, Key: key(t, 0)}); !errors.Is(err, cas.ErrDuplicateFile) {
			t.Errorf("a duplicate: %v", err)
		}
		late := fileOf(t, 3, d)
		late.ExpiresAt = later(-time.Minute)
		if _, err := create(cas.NewFile{File: late, Key: key(t, 0)}); !errors.Is(err, cas.ErrInvalidFile) {
			t.Errorf("an expired file: %v", err)
		}
		deleteFile(t, x, there.ID)
		if _, err := create(cas.NewFile{File: fileOf(t, 4, d), Unique: true, Key: otherRequest(key(t, 0))}); err != nil {
			t.Errorf("after the refusals: %v", err)
		}
	}),
	withCreators("of many at once creates one file", func(t *testing.T, x Index, create func(cas.NewFile) (cas.File, error)) {
		d := live(t, x, 0)
		for round := range rounds {
			var mu sync.Mutex
			made := map[string]int{}
			together(6, func(i int) {
				f, err := create(cas.NewFile{File: fileOf(t, 10*round+i, d), Key: key(t, round)})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				made[f.ID]++
			})
			if len(made) != 1 {
				t.Errorf("files: %v", made)
			}
		}
		if files := listFiles(t, x, cas.FileQuery{Digest: d, Limit: 100}); len(files) != rounds {
			t.Errorf("%d files; want %d", len(files), rounds)
		}
	}))

// createKeyed creates a file under a key, and fails the test on an error.
func createKeyed(t *testing.T, x Index, f cas.File, k *cas.IdempotencyKey) cas.File {
	t.Helper()
	made, err := x.CreateFile(t.Context(), cas.NewFile{File: f, Key: k})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// expire calls ExpireFiles, and fails the test on an error.
func expire(t *testing.T, x Index) {
	t.Helper()
	if _, err := x.ExpireFiles(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
}

// keyReused fails the test unless the error is cas.ErrKeyReused.
func keyReused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, cas.ErrKeyReused) || errors.Is(err, cas.ErrIndexUnavailable) {
		t.Errorf("%s: %v; want cas.ErrKeyReused", what, err)
	}
}

// second returns the error of two results.
func second[T any](_ T, err error) error { return err }
