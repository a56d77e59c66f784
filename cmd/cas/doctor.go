package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/migrations"
	"casgate/providers/replicator"
)

// doctorCmd checks everything a gateway with these settings would need. It takes the
// settings of cas serve.
type doctorCmd struct {
	serveCmd

	Deep int  `name:"deep" default:"0" help:"Also look for the objects of this many blobs, the oldest first, and report those that are missing or have another size." placeholder:"N"`
	JSON bool `name:"json" help:"Print a JSON object for each finding."`

	scratch settings.Data // a folder in the data folder, for the parts that aren't there yet
}

// Help returns the text that --help adds.
func (doctorCmd) Help() string {
	return `It tries what cas serve would do, with the same settings, up to the moment before the first request, and leaves nothing behind: it removes the object that it writes, and the folders that it makes. A gateway may run meanwhile.

Exit codes: 0 if nothing is to fix, 1 otherwise.`
}

// clockSkew is the largest difference of clocks that is safe: S3 refuses requests that are
// 15 minutes off, and tokens and URLs expire by the clock.
const clockSkew = 30 * time.Second

// finding is a result of the doctor, and its JSON.
type finding struct {
	Subject string `json:"subject"`
	State   string `json:"state"` // ok, warn, fail or skip
	Finding string `json:"finding"`
	Remedy  string `json:"remedy,omitempty"`
}

// examination counts and prints the findings of the doctor.
type examination struct {
	out    io.Writer
	json   bool
	failed int
	warned int
	err    error // of the first write that failed
}

func (e *examination) ok(subject, format string, args ...any) {
	e.print(finding{subject, "ok", fmt.Sprintf(format, args...), ""})
}

func (e *examination) warn(subject, text, remedy string) {
	e.warned++
	e.print(finding{subject, "warn", text, remedy})
}

func (e *examination) fail(subject string, err error, remedy string) {
	e.failed++
	text := err.Error()
	if owner, ok := errors.AsType[*wiring.OwnerError](err); ok {
		text, remedy = owner.Reason(), owner.Remedy() // root has every right already
	}
	e.print(finding{subject, "fail", text, remedy})
}

// skip says that a check was not made, and why.
func (e *examination) skip(subject, text string) {
	e.print(finding{subject, "skip", text, ""})
}

func (e *examination) print(f finding) {
	if e.err != nil {
		return
	}
	if e.json {
		e.err = terminal.PrintJSON(e.out, f)
		return
	}
	state := f.State
	if state == "fail" {
		state = "FAIL"
	}
	out := &terminal.Lines{W: e.out}
	out.Printf("%-4s  %-12s %s", state, f.Subject, f.Finding)
	if f.Remedy != "" {
		out.Printf("      %-12s → %s", "", f.Remedy)
	}
	e.err = out.Err
}

// Run makes one check after the other and prints a line for each.
func (c *doctorCmd) Run(ctx context.Context, std terminal.Streams) (err error) {
	e := &examination{out: std.Out, json: c.JSON}
	c.checkSettings(e)
	remove := c.checkDataFolder(e)
	defer func() { err = errors.Join(err, remove()) }()
	c.checkIndex(ctx, e)
	c.checkStore(ctx, e)
	c.checkTier(e)
	c.checkReferences(e)
	c.checkTraces(ctx, e)
	c.checkStart(ctx, e)
	if e.err != nil {
		return e.err
	}
	summary := "all is well"
	switch {
	case e.failed > 0:
		summary = fmt.Sprintf("%d to fix, %d to look at", e.failed, e.warned)
	case e.warned > 0:
		summary = fmt.Sprintf("nothing to fix, %d to look at", e.warned)
	}
	if !c.JSON {
		if _, err := fmt.Fprintf(std.Out, "\n%s\n", summary); err != nil {
			return err
		}
	}
	if e.failed > 0 {
		return exit.With(exit.Failure, exit.ErrReported)
	}
	return nil
}

func (c *doctorCmd) checkSettings(e *examination) {
	unknown := unknownVariables(os.Environ(), c.Providers)
	for _, name := range unknown {
		e.warn("settings", name+" is set, and there is no such setting", "compare its spelling with `cas serve --help`")
	}
	if len(unknown) == 0 {
		e.ok("settings", "index: %s; store: %s", c.Index.Describe(c.Data), c.ObjectStore.Describe(c.Data))
	}
}

// checkDataFolder checks that the data folder can be made and written to. The caller calls
// remove at the end: it removes the scratch folder, and the folders that were missing.
func (c *doctorCmd) checkDataFolder(e *examination) (remove func() error) {
	const subject = "data folder"
	missing := missingFolders(c.DataDir)
	remove = func() error {
		var err error
		if c.scratch.DataDir != "" {
			err = os.RemoveAll(c.scratch.DataDir)
		}
		for _, folder := range missing {
			_ = os.Remove(folder) // a gateway that starts meanwhile may use it
		}
		return err
	}
	if err := c.Data.CreateFolder(); err != nil {
		e.fail(subject, err, "set CAS_DATA_DIR to a folder that "+userName()+" may write to")
		return remove
	}
	var err error
	if c.scratch.DataDir, err = os.MkdirTemp(c.DataDir, "doctor-"); err != nil {
		e.fail(subject, err, "give "+userName()+" the right to write there, or set CAS_DATA_DIR to another folder")
		return remove
	}
	spool := c.Path(settings.SpoolDir)
	if err = tryWriting(spool); err != nil {
		e.fail("spool folder", err, "make "+spool+" a folder that "+userName()+" may write to, or remove it: a start makes it")
		return remove
	}
	c.checkDisks(e)
	for _, name := range []string{settings.AdminTokenFile, settings.SQLiteFile} {
		info, err := os.Stat(c.Path(name))
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			e.warn("permissions", fmt.Sprintf("%s can be read by others (%v)", c.Path(name), info.Mode().Perm()), "chmod 600 "+c.Path(name))
		}
	}
	return remove
}

// missingFolders returns a folder and those above it that are not there, the innermost
// first.
func missingFolders(dir string) []string {
	var missing []string
	for {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return missing
		}
		missing = append(missing, dir)
		dir = filepath.Dir(dir)
	}
}

// dataWith returns the data folder, or the scratch folder if the data folder lacks the
// entry: the doctor makes nothing that stays.
func (c *doctorCmd) dataWith(entry string) settings.Data {
	if _, err := os.Lstat(c.Path(entry)); errors.Is(err, fs.ErrNotExist) && c.scratch.DataDir != "" {
		return c.scratch
	}
	return c.Data
}

func (c *doctorCmd) openIndex(ctx context.Context) (wiring.Index, error) {
	if err := wiring.CheckLog(c.Index, c.Data); err != nil { // not that of the scratch folder
		return nil, err
	}
	return wiring.OpenIndex(ctx, c.Index, c.dataWith(settings.SQLiteFile), wiring.Observers{})
}

func (c *doctorCmd) openObjects() (wiring.ObjectStore, error) {
	objects, err := wiring.OpenObjectStore(c.ObjectStore, c.dataWith(settings.ObjectsDir), zerolog.Nop())
	objects.Text = c.ObjectStore.Describe(c.Data)
	return objects, err
}

// tryWriting makes and removes a file on disk in a folder. A folder that is missing is no error:
// a gateway makes it.
func tryWriting(folder string) error {
	probe, err := os.CreateTemp(folder, "doctor-")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// checkTraces checks that the collector of traces takes some.
func (c *doctorCmd) checkTraces(ctx context.Context, e *examination) {
	const subject = "traces"
	switch setting, err := wiring.CheckTraces(ctx, c.Traces); {
	case err != nil && setting == "":
		e.fail(subject, err, "correct the setting that the message names")
	case err != nil:
		e.warn(subject, "the collector takes no traces: "+err.Error(), "check that a collector of OpenTelemetry listens at "+setting+", and speaks the protocol of OTEL_EXPORTER_OTLP_PROTOCOL there")
	case setting != "":
		e.ok(subject, "the collector of %s takes traces", setting)
	}
}

func userName() string { return fmt.Sprintf("this user (uid %d)", os.Getuid()) }

func (c *doctorCmd) checkIndex(ctx context.Context, e *examination) {
	const subject = "index"
	x, err := c.openIndex(ctx)
	if err != nil {
		e.fail(subject, err, c.indexRemedy(err))
		return
	}
	defer x.Close()
	start := time.Now()
	checked, took := x.Check(ctx), time.Since(start)
	schema := x.CheckSchema(ctx)
	switch isNew := errors.Is(schema, migrations.ErrSchema) && !errors.Is(checked, cas.ErrIndexReadOnly); {
	case checked == nil:
		e.ok(subject, "%s answers in %s", c.Index.Describe(c.Data), took.Round(10*time.Microsecond))
	case !isNew: // an index without its tables can't be read
		e.fail(subject, checked, c.indexRemedy(checked))
		return
	}
	switch err := schema; {
	case err == nil:
		e.ok("schema", "up to date")
	case isNewer(err):
		e.fail("schema", err, "run the cas that migrated it, or a newer one; or restore a backup from before that migration")
	case c.Index.Embedded() && isEmpty(err):
		e.ok("schema", "the index is new; `cas serve` makes its tables")
	case c.Index.Embedded() && errors.Is(err, migrations.ErrSchema):
		e.ok("schema", "`cas serve` will bring it up to date by itself (%v)", err)
	case !errors.Is(err, migrations.ErrSchema):
		e.fail("schema", err, c.indexRemedy(err))
	default:
		e.fail("schema", err, "run `cas migrate up`, with a cas of the same version as the gateways")
	}
	if err := wiring.CheckPages(ctx, x); err != nil {
		e.fail("index file", err, wiring.RestoreIndex)
	} else if c.Index.Embedded() {
		e.ok("index file", "no page is damaged")
	}
	if err := wiring.CheckSession(ctx, x); err != nil {
		e.fail("pooler", err, c.indexRemedy(err))
	}
	c.checkFeed(ctx, e, x, schema)
	c.checkClock(ctx, e, x)
}

// isEmpty reports whether the index has no tables yet.
func isEmpty(err error) bool {
	e, ok := errors.AsType[*migrations.SchemaError](err)
	return ok && e.Have == 0
}

// isNewer reports whether a newer program migrated the index.
func isNewer(err error) bool {
	e, ok := errors.AsType[*migrations.SchemaError](err)
	return ok && e.Have > e.Want
}

// checkFeed checks that a gateway hears of the changes that others make. A pooler in
// transaction mode takes LISTEN, and passes on nothing.
func (c *doctorCmd) checkFeed(ctx context.Context, e *examination, x wiring.Index, schema error) {
	if c.Index.Embedded() || schema != nil {
		return
	}
	const subject = "changes"
	if err := wiring.CheckFeed(ctx, x); err != nil {
		e.warn(subject, err.Error(), "set CAS_DATABASE_LISTEN_URL to a URL of the database without a pooler; until then a gateway learns after two seconds what others deleted")
		return
	}
	e.ok(subject, "the index announces changes (LISTEN)")
}

// indexRemedy returns what to do if the index can't be used.
func (c *doctorCmd) indexRemedy(err error) string {
	switch {
	case errors.Is(err, wiring.ErrIndexDamaged):
		return wiring.RestoreIndex
	case errors.Is(err, wiring.ErrLogAlone):
		return wiring.ReturnIndex
	case errors.Is(err, cas.ErrNoSpace):
		return "make room"
	case c.Index.Embedded():
		return "give " + userName() + " the right to read and write " + c.Path(settings.SQLiteFile) + ", and its folder"
	}
	if remedy := wiring.DatabaseRemedy(err); remedy != "" {
		return remedy
	}
	if !errors.Is(err, cas.ErrIndexUnavailable) { // nothing was sent
		return "correct CAS_DATABASE_URL or CAS_DATABASE_LISTEN_URL, as the message says"
	}
	return "check that the server runs, and host and port in CAS_DATABASE_URL"
}

func (c *doctorCmd) checkClock(ctx context.Context, e *examination, x wiring.Index) {
	before := time.Now()
	theirs, err := x.Clock(ctx)
	if err != nil {
		e.fail("clock", err, "check that the index answers")
		return
	}
	skew := theirs.Sub(before.Add(time.Since(before) / 2)).Round(time.Millisecond)
	if skew.Abs() > clockSkew {
		e.fail("clock", fmt.Errorf("this machine and the index are %s apart", skew.Abs()), "set the clocks by NTP; tokens, signed URLs and S3 requests depend on them")
		return
	}
	e.ok("clock", "agrees with the index's (%s apart)", skew.Abs())
}

const (
	checksums       = "checksums" // a subject
	sendNoChecksums = "set CAS_S3_CHECKSUMS=off: this store takes uploads without x-amz-checksum-sha256"
)

func (c *doctorCmd) checkStore(ctx context.Context, e *examination) {
	const subject = "store"
	objects, err := c.openObjects()
	if err != nil {
		remedy := "correct the settings it names"
		if errors.Is(err, fs.ErrPermission) {
			remedy = "give " + userName() + " the right to write in the data folder"
		}
		e.fail(subject, err, remedy)
		return
	}
	defer objects.Close()
	if err := objects.Check(ctx); err != nil {
		e.fail(subject, err, storeRemedy(objects, err))
		return
	}
	start := time.Now()
	if err := c.roundTrip(ctx, objects); err != nil {
		if objects.S3 != nil {
			if support, refusal := objects.S3.ChecksumSupport(ctx); support == wiring.ChecksumsRefused {
				e.fail(checksums, refusal, sendNoChecksums)
				return
			}
		}
		e.fail(subject, err, storeRemedy(objects, err))
		return
	}
	e.ok(subject, "%s: wrote, read and removed an object in %s", objects.Text, time.Since(start).Round(100*time.Microsecond))
	if x := c.currentIndex(ctx); x != nil {
		defer x.Close()
		c.checkMark(ctx, e, x, objects)
		c.checkObjects(ctx, e, x, objects)
	} else {
		c.checkMarkBeforeStart(ctx, e, objects)
	}
	if objects.S3 == nil {
		return
	}
	if isVersioned, err := objects.S3.IsVersioned(ctx); err == nil && isVersioned {
		e.warn("versions", "the bucket keeps old versions, so the bytes of removed blobs stay", "turn versioning off, or let a lifecycle rule remove old versions (and only those)")
	}
	const ownOnly = "the gateway verifies every upload itself; use a store that enforces checksums to be safe from damage on the way there"
	support, err := objects.S3.ChecksumSupport(ctx)
	switch {
	case support == wiring.ChecksumsRefused:
		e.fail(checksums, err, sendNoChecksums)
	case err != nil:
		e.fail(checksums, err, storeRemedy(objects, err))
	case support == wiring.ChecksumsUnsent:
		e.warn(checksums, "uploads have no x-amz-checksum-sha256, by CAS_S3_CHECKSUMS=off", ownOnly)
	case support == wiring.ChecksumsEnforced:
		e.ok(checksums, "the store refuses bytes that don't match x-amz-checksum-sha256")
	default:
		e.warn(checksums, "the store ignores x-amz-checksum-sha256", ownOnly)
	}
}

// currentIndex opens the index, if its schema is the right one. Otherwise there is nothing to
// compare the store with, and checkIndex has said so.
func (c *doctorCmd) currentIndex(ctx context.Context) wiring.Index {
	x, err := c.openIndex(ctx)
	if err != nil {
		return nil
	}
	if x.CheckSchema(ctx) != nil {
		x.Close()
		return nil
	}
	return x
}

const (
	storeMark = "store mark" // a subject
	rightMark = "set the index and the store that belong together, or follow the message"
)

// checkMark checks that the object store belongs to the index.
func (c *doctorCmd) checkMark(ctx context.Context, e *examination, x wiring.Index, objects wiring.ObjectStore) {
	switch isMarked, err := wiring.BelongsTo(ctx, x, objects); {
	case err != nil:
		c.refuseMark(e, err, rightMark)
	case isMarked:
		e.ok(storeMark, "the store belongs to the index")
	default:
		e.ok(storeMark, "the store has no mark yet; `cas serve` makes it")
	}
}

// checkMarkBeforeStart is checkMark for an embedded index that is older than this program, or
// that the next start makes: a new index belongs to no store that has a mark.
func (c *doctorCmd) checkMarkBeforeStart(ctx context.Context, e *examination, objects wiring.ObjectStore) {
	switch {
	case !c.Index.Embedded():
		return
	case !c.hasOlderIndex(ctx):
		err := wiring.RefuseMark(ctx, objects, c.DataDir)
		if _, isRefused := errors.AsType[*exit.Error](err); isRefused {
			c.refuseMark(e, err, wiring.NoIndexRemedy)
		} else if err != nil {
			e.fail(storeMark, err, storeRemedy(objects, err))
		}
		return
	}
	x, err := c.openIndex(ctx)
	if err != nil {
		return // checkIndex has said so
	}
	defer x.Close()
	if _, err := wiring.RefuseOtherMark(ctx, x, objects); err != nil {
		c.refuseMark(e, err, rightMark)
	}
}

// refuseMark reports that a start refuses the object store. With --adopt-store it takes a store
// that belongs to another index, but not one whose mark can't be read.
func (c *doctorCmd) refuseMark(e *examination, err error, remedy string) {
	if refusal, ok := errors.AsType[*exit.Error](err); ok && refusal.Code == exit.Usage && c.AdoptStore {
		e.warn(storeMark, err.Error(), "`cas serve --adopt-store` takes the store nevertheless, and marks it as this index's; start so only if it is the right one")
		return
	}
	e.fail(storeMark, err, remedy)
}

// hasOlderIndex reports whether the data folder has an embedded index, for use where its
// schema is not the current one. A database without tables, as of an empty file, is none yet.
func (c *doctorCmd) hasOlderIndex(ctx context.Context) bool {
	if !c.Index.Embedded() || c.dataWith(settings.SQLiteFile) != c.Data {
		return false
	}
	x, err := c.openIndex(ctx)
	if err != nil {
		return true // checkIndex has said what it is
	}
	defer x.Close()
	return !isEmpty(x.CheckSchema(ctx))
}

// maxNamed is the number of missing objects that the doctor names.
const maxNamed = 3

// checkObjects looks for the objects of the oldest blobs.
func (c *doctorCmd) checkObjects(ctx context.Context, e *examination, x wiring.Index, objects wiring.ObjectStore) {
	if c.Deep == 0 {
		return
	}
	const subject = "objects"
	blobs, err := x.List(ctx, cas.Query{Limit: c.Deep})
	if err != nil {
		e.fail(subject, err, c.indexRemedy(err))
		return
	}
	var named []string
	wrong := 0
	for _, b := range blobs {
		object, err := objects.Stat(ctx, b.Object())
		switch {
		case err == nil && object.Size == b.Size:
			continue
		case err != nil && !errors.Is(err, cas.ErrObjectMissing) && !errors.Is(err, cas.ErrObjectCorrupt):
			e.fail(subject, err, storeRemedy(objects, err))
			return
		}
		if wrong++; wrong <= maxNamed {
			named = append(named, b.Digest.String())
		}
	}
	if wrong > 0 {
		e.fail(subject, fmt.Errorf("%d of %d objects are missing or have another size, such as %s", wrong, len(blobs), strings.Join(named, ", ")),
			"set CAS_S3_PREFIX, the bucket or the folder right if the objects are elsewhere; else `cas scrub --repair` repairs what it can, and an upload of the bytes does, too")
		return
	}
	e.ok(subject, "%d of %d looked at are there", len(blobs), len(blobs))
}

func storeRemedy(objects wiring.ObjectStore, err error) string {
	switch {
	case errors.Is(err, cas.ErrNoSpace):
		return "make room"
	case objects.S3 == nil:
		return "give " + userName() + " the right to write in the data folder"
	}
	if remedy := wiring.BucketRemedy(err); remedy != "" {
		return remedy
	}
	return "check that the store runs and that CAS_S3_ENDPOINT, CAS_S3_BUCKET and CAS_S3_REGION are right"
}

// roundTrip writes, reads and removes an object of random bytes, which no blob has.
func (c *doctorCmd) roundTrip(ctx context.Context, objects wiring.ObjectStore) error {
	var data [1000]byte
	rand.Read(data[:])
	ref := cas.ObjectRef{Digest: cas.DigestOf(data[:])}
	if objects.Folder != nil {
		path := filepath.Join(c.dataWith(settings.ObjectsDir).Path(settings.ObjectsDir), filepath.FromSlash(ref.Key()))
		missing := missingFolders(filepath.Dir(path))
		defer func() {
			for _, folder := range missing {
				_ = os.Remove(folder) // it stays if a gateway uses it meanwhile
			}
		}()
	}
	if err := objects.Put(ctx, ref, cas.NewVerifyingReader(bytes.NewReader(data[:]), ref.Digest, int64(len(data)))); err != nil {
		return err
	}
	object, err := objects.Open(ctx, ref, 0, -1)
	if err == nil {
		_, err = io.Copy(io.Discard, cas.NewVerifyingReader(object.Body, ref.Digest, int64(len(data))))
		object.Body.Close()
	}
	return errors.Join(err, objects.Delete(ctx, ref))
}

// checkReferences warns if a provider reads files at a URL that it can't reach.
func (c *doctorCmd) checkReferences(e *examination) {
	base, remedy := cmp.Or(c.PublicURL, "http://"+c.Listen), "set CAS_PUBLIC_URL to a URL of the gateway that works from outside"
	if c.ReferenceURLs == "bucket" {
		base, remedy = c.S3Endpoint, "set CAS_S3_ENDPOINT to one that works from outside, or CAS_REFERENCE_URLS to gateway"
	}
	readers, err := wiring.ReadersOfURLs(c.Providers)
	switch {
	case err != nil:
		e.fail("providers", err, "correct the setting that it names")
	case len(readers) > 0 && replicator.IsOwnMachine(base):
		e.warn("references", fmt.Sprintf("%s reads documents only at a URL, and %s is this machine's own", strings.Join(readers, ", "), base), remedy)
	}
}
