// Command old-manager demonstrates the migration from an old file manager. It creates
// an example: a Postgres table of files and their objects in a bucket, with typical
// errors of old data. It registers the files with `cas import`, takes their bytes in
// with `cas backfill`, and checks every count.
//
//	scripts/services run go run ./scripts/old-manager -rows 10000
//
// It creates two databases and two buckets on the test services, and removes them when
// it ends. The commands that it prints work for a real old manager too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	rows := flag.Int("rows", 10_000, "how many files the old manager has")
	keep := flag.Bool("keep", false, "leave databases and buckets behind, to look at")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *rows, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "old-manager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rows int, keep bool) (err error) {
	if rows < 1 {
		return errors.New("-rows must be at least 1")
	}
	place, err := newPlace(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if keep {
			fmt.Println("left behind:", place)
			return
		}
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, place.remove(clean))
	}()
	return move(ctx, place, rows)
}
