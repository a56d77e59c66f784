package localtier_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas/castest"
	"casgate/cas/localtier"
)

// A damaged copy that can't be removed is not read again. One that can't be opened or removed
// does not keep its object from being read.
func TestCopyThatStays(t *testing.T) {
	t.Parallel()
	b := castest.RandomBytes(1000)
	for name, c := range map[string]struct {
		damage func(copy string) error
		most   int // wrong reads
	}{
		"damaged": {func(copy string) error {
			return errors.Join(os.Chmod(copy, 0o644), os.WriteFile(copy, append([]byte{b[0] + 1}, b[1:]...), 0o644))
		}, 1},
		"cut": {func(copy string) error {
			return errors.Join(os.Chmod(copy, 0o644), os.Truncate(copy, 500))
		}, 1},
		"unreadable": {func(copy string) error { return os.Chmod(copy, 0) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tier := newTier(t, newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
			ref := put(t, tier, b)
			copy := filepath.Join(dir, filepath.FromSlash(ref.Key()))
			if err := errors.Join(c.damage(copy), os.Chmod(filepath.Dir(copy), 0o555), os.Chmod(dir, 0o755)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(filepath.Dir(copy), 0o755) })
			wrong := 0
			for range 3 {
				castest.AsNobody(t, func() {
					o, err := tier.Open(t.Context(), ref, 0, -1)
					if err != nil {
						t.Error(err)
						return
					}
					defer o.Body.Close()
					if got, err := io.ReadAll(o.Body); err != nil || !bytes.Equal(got, b) {
						wrong++
						o.Copy.Damaged()
					}
				})
			}
			if wrong > c.most {
				t.Errorf("%d wrong reads", wrong)
			}
			if _, err := os.Stat(copy); err != nil {
				t.Errorf("the copy did not stay: %v", err)
			}
		})
	}
}

// A record that can't be written is refused, as the start of the tier refuses it.
func TestLookAtARecordThatStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closedTier(t, dir, castest.RandomBytes(1000))
	for name, mode := range map[string]fs.FileMode{"": 0o755, "casgate-tier": 0o444, "lock": 0o444, "uses": 0o444} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	dir = fmt.Sprintf("/proc/self/fd/%d", open.Fd()) // the folders above may be closed to others
	castest.AsNobody(t, func() {
		_, lookErr := localtier.Look(dir, "")
		tier, err := localtier.New(newMemoryStore(), localtier.Options{Dir: dir, Size: roomy})
		if err == nil {
			tier.Close()
		}
		for _, err := range []error{lookErr, err} {
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "uses") {
				t.Errorf("error %v", err)
			}
		}
	})
}
