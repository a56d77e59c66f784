// Command old-manager shows how to move in from an old file manager, on one that it
// makes up: a Postgres table of files, and their objects in a bucket, with all that
// goes wrong over the years. It registers the files with `cas import`, takes their
// bytes in with `cas backfill`, and checks every count.
//
//	scripts/services run go run ./scripts/old-manager -rows 10000
//
// It makes two databases and two buckets on the services for tests, and removes them
// at its end. The commands that it prints are those for an old manager of your own.
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
