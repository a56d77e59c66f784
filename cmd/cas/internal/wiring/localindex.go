package wiring

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
)

// LocalIndex has the settings of a command that works on the index itself, without a
// gateway.
type LocalIndex struct {
	settings.Data
	settings.Index
}

// Open opens an index that exists, and checks its schema. A folder without one is probably
// the wrong folder, so that is an error. The caller must close it.
func (c LocalIndex) Open(ctx context.Context) (Index, error) {
	if err := c.checkExists(); err != nil {
		return nil, err
	}
	return OpenCurrentIndex(ctx, c.Index, c.Data, Observers{})
}

// OpenOrMake is Open, but makes an embedded index that does not exist, and says so: if the
// settings were forgotten, it is not the gateway's.
func (c LocalIndex) OpenOrMake(ctx context.Context, std terminal.Streams) (Index, error) {
	return c.noted(std, func() (Index, error) { return OpenCurrentIndex(ctx, c.Index, c.Data, Observers{}) })
}

// WriteOptions say how a command works on the index.
type WriteOptions struct {
	DryRun bool // it only looks
}

// OpenToWrite is OpenOrMake, or OpenToLook for a dry run. The caller must call close.
func (c LocalIndex) OpenToWrite(ctx context.Context, std terminal.Streams, o WriteOptions) (x Index, close func(), err error) {
	if o.DryRun {
		return c.OpenToLook(ctx)
	}
	if x, err = c.OpenOrMake(ctx, std); err != nil {
		return nil, nil, err
	}
	return x, x.Close, nil
}

// OpenToLook is Open for a command that changes nothing. In place of an embedded index that does not
// exist it opens an empty one in a folder of its own, which close removes.
func (c LocalIndex) OpenToLook(ctx context.Context) (x Index, close func(), err error) {
	remove := func() {}
	if c.isMissing() {
		if err := c.checkLog(); err != nil {
			return nil, nil, err
		}
		if c.DataDir, err = os.MkdirTemp("", "casgate-"); err != nil {
			return nil, nil, err
		}
		remove = func() { _ = os.RemoveAll(c.DataDir) } // the system removes it some day
	}
	if x, err = OpenCurrentIndex(ctx, c.Index, c.Data, Observers{}); err != nil {
		remove()
		return nil, nil, err
	}
	return x, func() { x.Close(); remove() }, nil
}

// OpenAnySchema is Open, without a check of the schema.
func (c LocalIndex) OpenAnySchema(ctx context.Context) (Index, error) {
	if err := c.checkExists(); err != nil {
		return nil, err
	}
	return c.openAnySchema(ctx)
}

// OpenOrMakeAnySchema is OpenOrMake, without a check of the schema.
func (c LocalIndex) OpenOrMakeAnySchema(ctx context.Context, std terminal.Streams) (Index, error) {
	return c.noted(std, func() (Index, error) { return c.openAnySchema(ctx) })
}

func (c LocalIndex) openAnySchema(ctx context.Context) (Index, error) {
	x, err := OpenIndex(ctx, c.Index, c.Data, Observers{})
	return x, AdviseRestore(err)
}

// isMissing reports whether the index is embedded and does not exist. Whether one in
// Postgres exists is a matter of its schema.
func (c LocalIndex) isMissing() bool {
	if !c.Embedded() {
		return false
	}
	_, err := os.Stat(c.Path(settings.SQLiteFile))
	return errors.Is(err, fs.ErrNotExist)
}

// checkLog is CheckLog with its advice.
func (c LocalIndex) checkLog() error { return AdviseRestore(CheckLog(c.Index, c.Data)) }

func (c LocalIndex) checkExists() error {
	if err := c.checkLog(); err != nil {
		return err
	}
	if c.isMissing() {
		return exit.Usagef("there is no index in %s; check CAS_DATA_DIR, and CAS_DATABASE_URL if the index is in Postgres; `cas serve` makes a new one", c.DataDir)
	}
	return nil
}

// noted opens an index, and says if it is new. It checks the owner of the data folder, too,
// if the gateway has not made the index yet.
func (c LocalIndex) noted(std terminal.Streams, open func() (Index, error)) (Index, error) {
	missing := c.isMissing()
	if missing {
		if err := CheckOwner(c.DataDir); err != nil {
			return nil, err
		}
	}
	x, err := open()
	if missing && err == nil {
		fmt.Fprintf(std.Err, "cas: there was no index in %s, so a new one was made; if that is not your gateway's folder, set CAS_DATA_DIR, or CAS_DATABASE_URL if its index is in Postgres, and remove %s\n",
			terminal.Printable(c.DataDir), terminal.Printable(c.Path(settings.SQLiteFile)))
	}
	return x, err
}

// Describe names the index, without its password.
func (c LocalIndex) Describe() string { return c.Index.Describe(c.Data) }
