package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/providers"
	"casgate/providers/ledger"
)

// CopyName names a copy on one line.
func CopyName(c api.Copy) string {
	kind := c.Purpose
	if c.Extension != "" {
		kind += ", " + terminal.Printable(c.Extension)
	}
	return fmt.Sprintf("%s at %s (%s)", c.Digest, c.Provider, kind)
}

// CopyState returns the state of a copy for people. A ready one that has expired can't be used
// any more, and is made again when it is asked for.
func CopyState(c api.Copy) string {
	if c.State == string(ledger.StateReady) && c.ExpiresAt != nil && !time.Now().Before(*c.ExpiresAt) {
		return "expired"
	}
	return c.State
}

// CopyRows prints the copies of a blob or file as fields of its description.
func CopyRows(out *terminal.Lines, copies []api.Copy) {
	label := "copies"
	for _, c := range copies {
		id := cmp.Or(terminal.Printable(c.ProviderFileID), "-")
		if c.Simulated {
			id += "  SIMULATED"
		}
		out.Printf("  %-10s  %s  %s  %s  %s", label, c.Provider, c.Purpose, CopyState(c), id)
		label = ""
	}
}

// ProviderError formats a provider's error on one line, shortened. Nil becomes "-".
func ProviderError(e *api.ProviderError) string {
	if e == nil {
		return "-"
	}
	text := cmp.Or(e.Code, e.Kind)
	if e.Status > 0 {
		text = fmt.Sprintf("%d %s", e.Status, text)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return terminal.Shorten(terminal.Printable(text), 100)
}

// NotReady returns the error of a copy that was waited for and can't be used, or not
// yet.
func NotReady(c api.Copy) error {
	switch ledger.State(c.State) {
	case ledger.StateReady:
		return nil
	case ledger.StatePending, ledger.StateUploading, ledger.StateProcessing:
		return fmt.Errorf("%w: it is %s, and the gateway continues (operation %s)", providers.ErrCopyInProgress, c.State, c.OperationID)
	}
	return exit.With(exit.Unavailable, fmt.Errorf("the copy was made, and now it is %s; the same command makes it again", c.State))
}

// notDeleted returns the error of a copy whose provider has not confirmed its delete.
func notDeleted(c api.Copy) error {
	if c.State == string(ledger.StateDeleted) {
		return nil
	}
	reason := ""
	if c.Error != nil {
		reason = " (" + ProviderError(c.Error) + ")"
		if c.Error.Hint != "" {
			reason += "; " + terminal.Printable(c.Error.Hint)
		}
	}
	return exit.With(exit.UnderWay, fmt.Errorf("%s has not confirmed the delete yet%s; the gateway keeps trying", c.Provider, reason))
}

// NoteTexts notes whether the texts extracted from a deleted blob were deleted too.
func NoteTexts(shown *terminal.Progress, texts []api.ReleasedText) {
	for _, text := range texts {
		if text.State == api.BlobKept {
			shown.Note("its extracted text %s stays: files or another blob need it", text.Digest)
		} else {
			shown.Note("its extracted text %s is deleted, too", text.Digest)
		}
	}
}

// Deletes reports the deletes of copies.
type Deletes struct {
	Shown *terminal.Progress
	Tally *Tally
	JSON  bool // results are JSON lines
}

// Print counts the deletes of copies and prints their results.
func (d Deletes) Print(copies []api.Copy) error {
	d.Count(copies)
	for _, c := range copies {
		var err error
		if d.JSON {
			err = terminal.PrintJSON(d.Shown.Stdout(), c)
		} else if notDeleted(c) == nil {
			_, err = fmt.Fprintf(d.Shown.Stdout(), "%s deleted\n", CopyName(c))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Count counts the deletes of copies, and prints an error for each that its provider
// has not confirmed.
func (d Deletes) Count(copies []api.Copy) {
	for _, c := range copies {
		err := notDeleted(c)
		d.Tally.Add(err)
		if err != nil {
			terminal.PrintError(d.Shown.Stderr(), CopyName(c), err)
		}
	}
}

// Asked prints the state of a copy that was asked for with an upload. It returns the
// reason if the copy can't be made.
func Asked(shown *terminal.Progress, path string, asked api.AskedCopy) error {
	name := path + " → " + asked.Provider
	if asked.Error != nil {
		err := AdviseCopy(&client.Error{Problem: *asked.Error})
		terminal.PrintError(shown.Stderr(), name, err)
		return err
	}
	shown.Note("copy %-8s  %9s  %s (%s)", asked.State, "", terminal.Printable(name), asked.Purpose)
	return nil
}

// SimulatedCopies notes which providers of the copies are simulators.
func SimulatedCopies(shown *terminal.Progress, copies []api.Copy) {
	simulated := map[string]bool{}
	for _, c := range copies {
		if c.Simulated {
			simulated[c.Provider] = true
		}
	}
	Simulated(shown, slices.Sorted(maps.Keys(simulated)))
}

// Simulated notes that these providers are simulators.
func Simulated(shown *terminal.Progress, names []string) {
	if len(names) > 0 {
		shown.Note("SIMULATED: the answers of %s come from a simulator in the gateway. They are only for trying casgate out.", strings.Join(names, ", "))
	}
}
