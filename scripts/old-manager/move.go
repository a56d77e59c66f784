package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"casgate/cas/importer"
	"casgate/scripts/old-manager/seed"
)

// someReads is the number of files that are read before the backfill.
const someReads = 20

// someFailed is the exit code of cas if some files failed.
const someFailed = 7

// move runs all steps and checks the counts of each.
func move(ctx context.Context, p *place, rows int) error {
	p.old.Rows = rows
	start := time.Now()
	want, err := seed.Make(ctx, p.old)
	if err != nil {
		return err
	}
	step("an old manager with %d files; %d of them can't be read any more, and %d rows can't become files (%.1f s)",
		want.Rows, want.Failing, want.Refused, time.Since(start).Seconds())

	if err := p.cas(ctx, 0, nil, "migrate", "up"); err != nil {
		return err
	}
	var imported importer.ImportCounts
	if err := p.cas(ctx, code(want.Refused), &imported, "import", "--from-postgres"); err != nil {
		return err
	}
	if err := same("imported", imported.Imported, want.Imported, "refused", imported.Failed, want.Refused, "noted", imported.Noted, want.Noted); err != nil {
		return err
	}
	step("%d are registered and can be used; %d of them lost a value that a file can't have", imported.Imported, imported.Noted)

	running, err := p.serve(ctx)
	if err != nil {
		return err
	}
	defer running.stop()
	reads, err := running.read(ctx, want.Digests, someReads)
	if err != nil {
		return err
	}
	step("a gateway serves them before their bytes are taken in: %d reads, all right", reads)

	var survey importer.SurveyCounts
	if err := p.cas(ctx, code(want.Failing), &survey, "backfill", "--dry-run"); err != nil {
		return err
	}
	step("a dry run, which reads no bytes, finds %d that would fail; %d have a digest that the store has", survey.WouldFail, survey.Duplicates)

	var taken struct {
		importer.BackfillCounts
		WrittenBack int64 `json:"written_back"`
	}
	if err := p.cas(ctx, code(want.Failing), &taken, "backfill"); err != nil {
		return err
	}
	if err := same("taken", taken.Taken, want.Taken-int64(reads), "failed", taken.Failed, want.Failing); err != nil {
		return err
	}
	step("%d more have their bytes now; %d failed, each with a reason", taken.Taken, taken.Failed)
	if reads, err = running.read(ctx, want.Digests, len(want.Digests)); err != nil {
		return err
	}
	step("the gateway serves all %d with the right bytes; they are %d different blobs", reads, want.Blobs)

	if err := p.cas(ctx, 0, &taken, "backfill", "--write-back", "sha256"); err != nil {
		return err
	}
	if err := same("taken again", taken.Taken, 0, "failed before", taken.FailedBefore, want.Failing, "written back", taken.WrittenBack, want.WrittenBack); err != nil {
		return err
	}
	step("a second run has no work; %d rows of the old table have their digest now", taken.WrittenBack)
	fmt.Println("All of it as it should be.")
	return nil
}

// code is the exit code of cas for a number of failures.
func code(failed int64) int {
	if failed > 0 {
		return someFailed
	}
	return 0
}

func step(format string, args ...any) { fmt.Printf("  • "+format+"\n", args...) }

// cas runs cas, which must exit with this code. If counts is set, it reads the counts
// that cas prints.
func (p *place) cas(ctx context.Context, code int, counts any, args ...string) error {
	fmt.Println("  $ cas", strings.Join(args, " "))
	if counts != nil {
		args = append(args, "--json")
	}
	command := exec.CommandContext(ctx, p.program(), args...)
	command.Env = p.environment()
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	err := command.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited || command.ProcessState.ExitCode() != code {
		return fmt.Errorf("cas %s exits with %d, want %d: %w\n%s%s", args[0], command.ProcessState.ExitCode(), code, err, &out, &said)
	}
	if counts == nil {
		return nil
	}
	if err := json.Unmarshal(out.Bytes(), counts); err != nil {
		return fmt.Errorf("cas %s prints %q: %w", args[0], &out, err)
	}
	return nil
}

// same compares counts. Its arguments are names, counted values and expected values.
func same(counts ...any) error {
	for i := 0; i < len(counts); i += 3 {
		if got, want := fmt.Sprint(counts[i+1]), fmt.Sprint(counts[i+2]); got != want {
			return fmt.Errorf("%s: %s, want %s", counts[i], got, want)
		}
	}
	return nil
}
