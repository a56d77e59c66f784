// Command indexsize measures what an index costs per million blobs: the sizes of its tables
// and their indexes, and the time of a look-up, an upload's commit and a page of a list. It
// makes a Postgres database and an SQLite file of its own, fills them with rows, and removes
// them at the end.
//
//	SERVICES_FSYNC=on scripts/services run go run ./scripts/indexsize --blobs 10000000
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"casgate/cas"
)

// subject is an index that is measured.
type subject interface {
	cas.Index
	// fill makes rows: blobs, and files and copies of some of them.
	fill(ctx context.Context, n counts) error
	// sizes returns the bytes of each table, with and without its indexes.
	sizes(ctx context.Context) ([]tableSize, error)
	remove() error
}

type counts struct{ blobs, files, copies int }

type tableSize struct {
	table      string
	rows       int
	rowBytes   int64
	indexBytes int64
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "indexsize:", err)
		os.Exit(1)
	}
}

// bytesPerBlob is what a blob's rows take at most, for the check of the disk.
const bytesPerBlob = 1500

func run(ctx context.Context) (err error) {
	var n counts
	flag.IntVar(&n.blobs, "blobs", 1_000_000, "number of blobs")
	only := flag.String("only", "", "postgres or sqlite; both if empty")
	operations := flag.Int("operations", 2000, "number of operations of each kind that are timed")
	flag.Parse()
	if n.blobs < 10_000 {
		return errors.New("--blobs must be at least 10000")
	}
	n.files, n.copies = n.blobs/10, n.blobs/10
	if err := checkDisk(int64(n.blobs) * bytesPerBlob); err != nil {
		return err
	}
	for _, kind := range []struct {
		name string
		open func(context.Context) (subject, error)
	}{{"postgres", openPostgres}, {"sqlite", openSQLite}} {
		if *only != "" && *only != kind.name {
			continue
		}
		if err := measure(ctx, kind.name, kind.open, n, *operations); err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return nil
}

// checkDisk refuses to fill a disk.
func checkDisk(need int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &s); err != nil {
		return err
	}
	if free := int64(s.Bavail) * s.Bsize; free < 2*need {
		return fmt.Errorf("%s has %d MB free; this needs %d MB", os.TempDir(), free>>20, 2*need>>20)
	}
	return nil
}

func measure(ctx context.Context, name string, open func(context.Context) (subject, error), n counts, operations int) (err error) {
	x, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.remove()) }()
	fmt.Printf("## %s, %d blobs\n\n", name, n.blobs)
	began := time.Now()
	if err := x.fill(ctx, n); err != nil {
		return err
	}
	fmt.Printf("filled in %s\n\n| table | rows | MB per million rows | of which indexes |\n|---|---|---|---|\n", time.Since(began).Round(time.Second))
	sizes, err := x.sizes(ctx)
	if err != nil {
		return err
	}
	for _, s := range sizes {
		perMillion := func(bytes int64) float64 { return float64(bytes) / float64(s.rows) } // bytes per row are MB per million rows
		fmt.Printf("| %s | %d | %.0f | %.0f |\n", s.table, s.rows, perMillion(s.rowBytes+s.indexBytes), perMillion(s.indexBytes))
	}
	return times(ctx, x, n, operations)
}

// digestOf is the digest of the ith blob.
func digestOf(i int) cas.Digest {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

// times measures single calls, one after the other.
func times(ctx context.Context, x subject, n counts, operations int) error {
	fmt.Print("\n| operation | median | 99 % |\n|---|---|---|\n")
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []struct {
		name string
		do   func(i int) error
	}{
		{"look-up of a blob", func(int) error {
			_, err := x.Blob(ctx, digestOf(1+random.IntN(n.blobs)))
			return err
		}},
		{"look-up of a blob that is not there", func(i int) error {
			_, err := x.Blob(ctx, digestOf(-1-i))
			if errors.Is(err, cas.ErrBlobNotFound) {
				return nil
			}
			return fmt.Errorf("a blob that is not there: %v", err)
		}},
		{"upload of a new blob (two statements)", func(i int) error {
			d := digestOf(n.blobs + 1 + i)
			if _, err := x.Touch(ctx, d); !errors.Is(err, cas.ErrBlobNotFound) {
				return fmt.Errorf("a new blob is there: %v", err)
			}
			_, created, err := x.Commit(ctx, cas.Blob{Digest: d, Size: 1 << 20, MediaType: "application/pdf", Name: "new.pdf"})
			if err == nil && !created {
				err = errors.New("a new blob was not created")
			}
			return err
		}},
		{"first page of a list (100 blobs)", func(int) error {
			return page(ctx, x, cas.Cursor{})
		}},
		{"page in the middle of a list", func(int) error {
			b, err := x.Blob(ctx, digestOf(n.blobs/4+random.IntN(n.blobs/2)))
			if err != nil {
				return err
			}
			return page(ctx, x, cas.Cursor{CreatedAt: b.CreatedAt, Digest: b.Digest})
		}},
	}
	for _, kind := range kinds {
		took := make([]time.Duration, operations)
		for i := range took {
			began := time.Now()
			if err := kind.do(i); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		fmt.Printf("| %s | %s | %s |\n", kind.name, took[len(took)/2].Round(time.Microsecond), took[len(took)*99/100].Round(time.Microsecond))
	}
	fmt.Println()
	return nil
}

func page(ctx context.Context, x subject, after cas.Cursor) error {
	blobs, err := x.List(ctx, cas.Query{After: after, Limit: 100})
	if err == nil && len(blobs) != 100 {
		err = fmt.Errorf("a page has %d blobs", len(blobs))
	}
	return err
}
