package folderstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
)

// Check fails where no object can be placed, and leaves nothing behind.
func TestCheckLooksAtTheObjectsFolder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(dir string) error
		want    error
	}{
		"without objects":    {func(dir string) error { return os.Chmod(dir, 0o777) }, nil},
		"with objects":       {func(dir string) error { return mkdir(dir, 0o777) }, nil},
		"read-only":          {func(dir string) error { return mkdir(dir, 0o555) }, cas.ErrStoreRefused},
		"that can't be made": {func(dir string) error { return os.Chmod(dir, 0o555) }, cas.ErrStoreRefused},
		"a file on disk":     {func(dir string) error { return os.WriteFile(filepath.Join(dir, "sha256"), nil, 0o666) }, cas.ErrStoreUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := folderstore.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := errors.Join(os.Chmod(filepath.Join(dir, "tmp"), 0o777), c.prepare(dir)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o755) }) // or it can't be removed, which the test reports
			castest.AsNobody(t, func() { err = s.Check(t.Context()) })
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			for _, folder := range []string{"", "tmp", "sha256"} {
				left, _ := filepath.Glob(filepath.Join(dir, folder, "????????????????????????????????")) // the pattern is right
				if len(left) > 0 {
					t.Errorf("%q is left", left)
				}
			}
		})
	}
}

// mkdir makes the folder for the objects.
func mkdir(dir string, mode os.FileMode) error {
	objects := filepath.Join(dir, "sha256")
	return errors.Join(os.Chmod(dir, 0o777), os.Mkdir(objects, 0o755), os.Chmod(objects, mode))
}
