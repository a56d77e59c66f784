package importer

import (
	"context"
	"fmt"
	"time"

	"casgate/cas"
)

// CountPending returns how many files a backfill would take up.
func CountPending(ctx context.Context, files fileLister, retryFailed bool) (n int64, err error) {
	err = eachPage(ctx, files, defaultBatch, 0, func(page []cas.File) error {
		for _, f := range page {
			if f.Origin.Error == "" || retryFailed {
				n++
			}
		}
		return nil
	})
	return n, err
}

// eachPage lists all pending files.
func eachPage(ctx context.Context, files fileLister, size int, patience time.Duration, do func([]cas.File) error) error {
	q := cas.FileQuery{Limit: size, Pending: true}
	for {
		page, err := patiently(ctx, patience, func() ([]cas.File, error) { return files.ListFiles(ctx, q) })
		if err != nil {
			return fmt.Errorf("list pending files: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		full := len(page) == size
		q.After = page[len(page)-1].Cursor()
		if err := do(page); err != nil || !full {
			return err
		}
	}
}

// fileLister lists files.
type fileLister interface {
	ListFiles(ctx context.Context, q cas.FileQuery) ([]cas.File, error)
}
