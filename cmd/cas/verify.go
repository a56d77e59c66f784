package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"casgate/cas"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/terminal"
)

// verifyCmd checks the objects of some blobs.
type verifyCmd struct {
	objectCheck

	Blobs []argument.Blob `arg:"" name:"blob" help:"Digests, the first 8 digits of them or more, or hash URLs."`
}

// Help returns the text that --help adds.
func (verifyCmd) Help() string {
	return `It reads each object from the store, whatever was verified before. Standard output has a line for each: "right", "damaged", "repaired", "healed", "unread" or "changed", a tab, the digest, a tab, and the cause; ` + "`cas scrub --help`" + ` explains them.

Exit codes: 0 if all are right; 3 if there is no such blob; 5 if an object is damaged and not repaired; 6 if a server can't be reached; 7 if that is so for some.`
}

// Run checks the blobs one after the other.
func (c *verifyCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.LocalIndex.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	shown := terminal.NewProgress(std, terminal.ProgressOptions{Quiet: c.Quiet})
	defer shown.Close()
	objects, closeAll, err := c.open(ctx, x, shown, scrubber.Options{Notify: func(scrubber.Result) {}})
	if err != nil {
		return err
	}
	defer closeAll()
	var results report.Tally
	for _, b := range c.Blobs {
		done := shown.Waiting("reading", b.String())
		var result scrubber.Result
		d, err := b.DigestIn(ctx, x)
		if err == nil {
			result, err = objects.Verify(ctx, d)
		}
		done()
		if err == nil {
			err = c.printResult(shown.Stdout(), result)
		} else {
			printErr := c.printFailure(shown.Stdout(), b, err)
			if !errors.Is(err, cas.ErrBlobNotFound) {
				return errors.Join(err, printErr)
			}
			result.Err, err = err, printErr
		}
		if err != nil {
			return err
		}
		results.Add(verifyError(result))
	}
	return results.Err(ctx)
}

// verifyError is the failure of a blob that is not right now.
func verifyError(r scrubber.Result) error {
	switch r.Outcome {
	case scrubber.OutcomeRight, scrubber.OutcomeHealed, scrubber.OutcomeRepaired:
		return nil
	case scrubber.OutcomeDamaged:
		return exit.With(exit.Corrupt, r.Err)
	case scrubber.OutcomeChanged:
		return errors.New("it was deleted or stored anew meanwhile")
	}
	return r.Err
}

// uncheckedBlob is the JSON of a blob that could not be checked.
type uncheckedBlob struct {
	Outcome string      `json:"outcome"`
	Digest  *cas.Digest `json:"digest,omitempty"`
	Prefix  string      `json:"prefix,omitempty"` // as it was given, if only the beginning of the digest was
	Error   string      `json:"error"`
}

// printFailure prints a blob that could not be checked.
func (c *verifyCmd) printFailure(out io.Writer, b argument.Blob, err error) error {
	unchecked, text := uncheckedBlob{Outcome: "failed", Error: err.Error()}, b.String()
	if d, wholeErr := b.Whole(); wholeErr == nil {
		unchecked.Digest, text = &d, d.String()
	} else {
		unchecked.Prefix = text
	}
	if c.JSON {
		return terminal.PrintJSON(out, unchecked)
	}
	_, printErr := fmt.Fprintf(out, "failed\t%s\t%s\n", text, terminal.Printable(err.Error()))
	return printErr
}
