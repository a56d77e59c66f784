package main

import (
	"fmt"

	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/transfer"
	"casgate/gateway/api"
)

// storeAndPrint stores files and prints their results at the same time. The error of
// store, which stops the command, comes first.
func storeAndPrint(store, print func() error) error {
	stopped := make(chan error, 1)
	go func() { stopped <- store() }()
	printErr := print()
	if err := <-stopped; err != nil {
		return report.Advise(err)
	}
	return printErr
}

// maxShown is the number of files above which a terminal gets no line for each.
const maxShown = 100

// putOutput prints the results of a command that stores files.
type putOutput struct {
	shown     *terminal.Progress
	json      bool
	withPaths bool // there may be several files, so each line has a path
	sumsUp    bool // no lines of stored files
	advise    func(error) error
	files     report.Tally
}

// nothing says that there is no file to store, which is no error: an empty folder has none.
func (o *putOutput) nothing() error {
	o.shown.Note("nothing to upload: the folders have no files")
	if o.json {
		return terminal.PrintJSON(o.shown.Stdout(), struct {
			Files int `json:"files"`
		}{})
	}
	return nil
}

// putOutcome is the result of one file.
type putOutcome struct {
	item *transfer.Item
	// text is the line of a stored file, and object the one of --json.
	text   string
	object any
	asked  []api.AskedCopy
}

// print counts a result and prints it: a stored file to standard output, an error to
// standard error too.
func (o *putOutput) print(r putOutcome) error {
	item := r.item
	o.files.Add(item.Err)
	var err error
	switch {
	case o.json:
		err = terminal.PrintJSON(o.shown.Stdout(), r.object)
	case item.Err == nil && o.sumsUp:
	case item.Err == nil && o.withPaths:
		_, err = fmt.Fprintf(o.shown.Stdout(), "%s\t%s\n", r.text, terminal.Printable(item.Path))
	case item.Err == nil:
		_, err = fmt.Fprintln(o.shown.Stdout(), r.text)
	}
	if err != nil {
		return err
	}
	if item.Err != nil && !item.Stopped {
		terminal.PrintError(o.shown.Stderr(), item.Path, o.advise(item.Err))
	}
	for _, asked := range r.asked {
		o.files.Add(report.Asked(o.shown, item.Path, asked))
	}
	return nil
}
