package folderstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"casgate/cas"
)

// MarkName names the file on disk that says which index the folder belongs to.
const MarkName = "casgate-store"

// Mark returns the mark of the folder, or "" if it has none.
func (s *Store) Mark(context.Context) (string, error) {
	mark, err := s.root.ReadFile(MarkName)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: read the folder's mark: %w", cas.ErrStoreUnavailable, err)
	}
	return string(mark), nil
}

// SetMark replaces the mark of the folder.
func (s *Store) SetMark(_ context.Context, mark string) error {
	if err := s.writeMark(mark); err != nil {
		return fmt.Errorf("%w: write the folder's mark: %w", cas.ErrStoreUnavailable, err)
	}
	return nil
}

func (s *Store) writeMark(mark string) error {
	tmp, f, err := s.createUnfinished(os.O_WRONLY, objectMode)
	if err != nil {
		return err
	}
	defer f.Close() // a second close is harmless
	if _, err := f.WriteString(mark); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := s.root.Rename(tmp, MarkName); err != nil {
		return err
	}
	return s.syncDir(".")
}
