package importer

import (
	"context"
	"fmt"
	"time"

	"casgate/cas"
)

// Pending selects pending files: those whose bytes are not taken in yet.
type Pending int

// The selections of pending files.
const (
	// PendingUntried has the files that have not failed.
	PendingUntried Pending = iota
	// PendingAll has the files that failed before too.
	PendingAll
)

// has reports whether the selection has a pending file.
func (p Pending) has(f cas.File) bool { return p == PendingAll || f.Origin.Error == "" }

// CountPending returns the number of files that a backfill would try.
func CountPending(ctx context.Context, files fileLister, which Pending) (n int64, err error) {
	err = eachPage(ctx, files, defaultBatch, 0, func(page []cas.File) error {
		for _, f := range page {
			if which.has(f) {
				n++
			}
		}
		return nil
	})
	return n, err
}

// eachPage calls do with each page of pending files.
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
