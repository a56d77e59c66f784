package localtier_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// closedTier makes a tier with copies, and closes it.
func closedTier(t *testing.T, dir string, copies ...[]byte) {
	t.Helper()
	tier, err := localtier.New(newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range copies {
		put(t, tier, b)
	}
	if err := tier.Close(); err != nil {
		t.Fatal(err)
	}
}

// Folders that can't be a tier's are refused, each with the reason. What is in them stays.
func TestFolderIsRefused(t *testing.T) {
	t.Parallel()
	write := func(name, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	tier, store := filepath.Join(root, "tier"), filepath.Join(root, "store")
	closedTier(t, tier)
	write(filepath.Join(store, "casgate-store"), "an index")
	photos, other := filepath.Join(root, "photos"), filepath.Join(root, "other")
	write(filepath.Join(photos, "casgate-tier"), "")
	write(filepath.Join(photos, "photo.jpg"), "a photo")
	write(filepath.Join(other, "casgate-tier"), "my own text")
	file, link := filepath.Join(root, "file"), filepath.Join(root, "link")
	write(file, "")
	linked := filepath.Join(root, "linked")
	closedTier(t, linked)
	target := filepath.Join(root, "target")
	write(target, "precious")
	uses := filepath.Join(linked, "uses")
	if err := errors.Join(os.Symlink(filepath.Join(root, "nothing"), link), os.Remove(uses), os.Symlink(target, uses)); err != nil {
		t.Fatal(err)
	}
	in := func(name string, put func(name string) error) string {
		dir := filepath.Join(root, "with a wrong "+name)
		closedTier(t, dir)
		name = filepath.Join(dir, name)
		if err := errors.Join(os.RemoveAll(name), put(name)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	aFile := func(name string) error { return os.WriteFile(name, nil, 0o600) }
	aFolder := func(name string) error { return os.Mkdir(name, 0o700) }
	for dir, says := range map[string]string{
		in("tmp", aFile):              "tmp is not a folder; remove it",
		in("sha256", aFile):           "sha256 is not a folder; remove it",
		in("lock", aFolder):           "lock is not a regular file; remove it",
		in("uses", aFolder):           "uses is not a regular file; remove it",
		photos:                        "has photo.jpg",
		other:                         "has no right casgate-tier",
		file:                          "it is no folder",
		link:                          "is a symbolic link to nothing",
		linked:                        "is not a regular file",
		filepath.Join(tier, "sha256"): "lies in the local tier",
		filepath.Join(tier, "a", "b"): "lies in the local tier",
		filepath.Join(store, "new"):   "lies in the object folder",
	} {
		opened, err := localtier.New(newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
		if err == nil {
			opened.Close()
		}
		_, lookErr := localtier.Look(dir, "")
		for _, err := range []error{err, lookErr} {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", dir, err)
			}
		}
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "precious" {
		t.Errorf("the target of the link: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(tier, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused folder was made: %v", err)
	}
}

// A mark that a full disk kept empty is written again.
func TestEmptyMark(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "casgate-tier"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closedTier(t, dir)
	closedTier(t, dir)
}

// Something that can't be removed among the unfinished copies does not keep a tier from opening, nor
// those beside it from being removed.
func TestFolderAmongUnfinishedCopies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closedTier(t, dir)
	strange, left := filepath.Join(dir, "tmp", "d", "file"), filepath.Join(dir, "tmp", "left")
	if err := errors.Join(os.Mkdir(filepath.Dir(strange), 0o700), os.WriteFile(strange, nil, 0o600), os.WriteFile(left, []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
	if _, err := os.Stat(strange); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unfinished copy: %v", err)
	}
	put(t, tier, castest.RandomBytes(1000))
	published(t, tier, 1)
}

// A look tells the own gateway's folder from another one's.
func TestLookAtAFolderInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if n, err := localtier.Look(dir, "one"); n != 0 || err != nil {
		t.Errorf("an empty folder: %d bytes, %v", n, err)
	}
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy, Owner: "one"})
	put(t, tier, castest.RandomBytes(1000))
	if n, err := localtier.Look(dir, "one"); n != 1000 || err != nil {
		t.Errorf("its own: %d bytes, %v", n, err)
	}
	if _, err := localtier.Look(dir, "two"); !errors.Is(err, localtier.ErrInUse) {
		t.Errorf("another one's: %v", err)
	}
}

// After a record was damaged, the copies are dropped: nobody can tell how many bytes they are.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func([]byte){
		"zeroes":       func(b []byte) { clear(b[4096:]) },
		"random bytes": func(b []byte) { copy(b[4096:], castest.RandomBytes(len(b)-4096)) },
		"one byte":     func(b []byte) { b[5000] ^= 1 },
		"no magic":     func(b []byte) { clear(b[:8]) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			closedTier(t, dir, castest.RandomBytes(1000), castest.RandomBytes(2000))
			record := filepath.Join(dir, "uses")
			b, err := os.ReadFile(record)
			if err != nil {
				t.Fatal(err)
			}
			damage(b)
			if err := os.WriteFile(record, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := localtier.Look(dir, ""); !errors.Is(err, localtier.ErrDamagedRecord) {
				t.Errorf("error %v", err)
			}
			tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
			castest.Eventually(t, "the copies are gone", func() bool { return copiesIn(t, dir) == 0 })
			if s := tier.Stats(); s.Bytes != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Copies of which the record does not know, of a killed process with a damaged record or from
// another tier, are counted by the sweep, and evicted if they are too many.
func TestSweepCountsCopies(t *testing.T) {
	t.Parallel()
	from, dir := t.TempDir(), t.TempDir()
	closedTier(t, dir)
	var blobs [][]byte
	index := rows{}
	for range 10 {
		b := castest.RandomBytes(1000)
		blobs = append(blobs, b)
		index[cas.DigestOf(b)] = cas.Blob{Digest: cas.DigestOf(b), State: cas.StateLive}
	}
	closedTier(t, from, blobs...)
	if err := os.CopyFS(filepath.Join(dir, "sha256"), os.DirFS(filepath.Join(from, "sha256"))); err != nil {
		t.Fatal(err)
	}
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: 5000})
	for _, b := range blobs {
		tier.SweepPart(t.Context(), index, refOf(b))
	}
	if s, n := tier.Stats(), copiesIn(t, dir); s.Bytes != n || n > 5000 || n < 4000 {
		t.Errorf("%d bytes, and %+v", n, s)
	}
	for _, b := range blobs {
		o, err := tier.OpenCopy(t.Context(), refOf(b))
		if errors.Is(err, cas.ErrObjectMissing) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		got := make([]byte, len(b))
		if _, err := o.Read(got); err != nil || !bytes.Equal(got, b) {
			t.Errorf("other bytes, %v", err)
		}
	}
}

// A copy that can't be removed does not keep others from being made.
func TestOthersAreCopiedBesideACopyThatStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
	b := castest.RandomBytes(1000)
	ref := put(t, tier, b)
	copy := filepath.Join(dir, filepath.FromSlash(ref.Key()))
	if err := errors.Join(os.Remove(copy), os.Mkdir(copy, 0o700), os.WriteFile(filepath.Join(copy, "file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, tier, ref), b) {
		t.Error("other bytes")
	}
	put(t, tier, castest.RandomBytes(1000))
	if s := tier.Stats(); s.Fills != 2 || s.Errors == 0 || s.IsFailing {
		t.Errorf("%+v", s)
	}
}

// If somebody removes the folder of unfinished copies, the tier makes it again.
func TestFolderOfUnfinishedCopiesIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		t.Fatal(err)
	}
	put(t, tier, castest.RandomBytes(1000))
	published(t, tier, 1)
	if s := tier.Stats(); s.Errors > 0 || s.IsFailing {
		t.Errorf("%+v", s)
	}
}
