package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/migrations"
	"casgate/providers/replicator"
)

// doctorCmd checks everything a gateway with these settings would need.
type doctorCmd struct {
	settings.Data
	settings.Index
	settings.ObjectStore
	settings.Providers

	Listen    string `env:"CAS_LISTEN" default:"127.0.0.1:8080" hidden:""`
	PublicURL string `name:"public-url" env:"CAS_PUBLIC_URL" hidden:""`
}

// knownVariables are the environment variables of cas. Another CAS_ variable is
// likely a typing error.
var knownVariables = []string{
	"CAS_LISTEN", "CAS_ADMIN_LISTEN", "CAS_DATA_DIR", "CAS_DATABASE_URL", "CAS_DATABASE_LISTEN_URL",
	"CAS_S3_ENDPOINT", "CAS_S3_BUCKET", "CAS_S3_REGION", "CAS_S3_ACCESS_KEY", "CAS_S3_SECRET_KEY", "CAS_S3_TIMEOUT", "CAS_S3_CHECKSUMS", "CAS_S3_PREFIX", "CAS_S3_CREDENTIALS", "CAS_S3_SESSION_TOKEN",
	"CAS_MAX_BLOB_SIZE", "CAS_AUTH", "CAS_TOKEN_API", "CAS_CORS_ORIGINS", "CAS_CONSOLE", "CAS_MCP", "CAS_PUBLIC_READ", "CAS_PUBLIC_URL",
	"CAS_SOURCE_DIR", "CAS_SOURCE_DATABASE_URL", "CAS_SOURCE_S3_ENDPOINT", "CAS_SOURCE_S3_BUCKET", "CAS_SOURCE_S3_REGION",
	"CAS_SOURCE_S3_PREFIX", "CAS_SOURCE_S3_ACCESS_KEY", "CAS_SOURCE_S3_SECRET_KEY", "CAS_SOURCE_S3_CREDENTIALS", "CAS_SOURCE_S3_SESSION_TOKEN",
	"CAS_JOURNAL", "CAS_JOURNAL_RETAIN",
	"CAS_PROVIDERS_FILE", "CAS_COPY_EVICTION", "CAS_COPY_WAIT", "CAS_REFERENCE_URLS",
	"CAS_CHAT", "CAS_CHAT_INLINE", "CAS_CHAT_KEEP", "CAS_CHAT_TIMEOUT", "CAS_CHAT_MAX_BODY", "CAS_CHAT_MEMORY", "CAS_MODELS_FILE",
	"CAS_LOG_LEVEL", "CAS_LOG_FORMAT", "CAS_URL", "CAS_TOKEN",
	"CAS_MAX_UPLOADS", "CAS_RATE_LIMIT", "CAS_SPOOL_LIMIT", "CAS_MIN_BODY_RATE", "CAS_BODY_WINDOW", "CAS_IDLE_TIMEOUT",
	"CAS_GC_GRACE", "CAS_GC_MAX_SHARE", "CAS_GC_MAX_BLOBS", "CAS_GC_RATE", "CAS_GC_INTERVAL", "CAS_ORPHANS_EVERY", "CAS_DISK_LOW", "CAS_RETAIN_UNREFERENCED",
	"CAS_SCRUB_EVERY", "CAS_SCRUB_RATE", "CAS_SCRUB_REPAIR", "CAS_SCRUB_MAX_DAMAGED", "CAS_REPAIR_FROM",
	"CAS_SHUTDOWN_GRACE", "CAS_HOT_BYTES", "CAS_HOT_BLOB_SIZE", "CAS_VERIFIED_FOR", "CAS_SEEN_FOR", "CAS_READ_WITHOUT_INDEX",
}

const (
	// lowSpace is the number of free bytes below which a disk counts as nearly full.
	lowSpace = 1 << 30
	// clockSkew is the largest difference of clocks that is safe: S3 refuses requests that
	// are 15 minutes off, and tokens and URLs expire by the clock.
	clockSkew = 30 * time.Second
)

// examination counts and prints the findings of the doctor.
type examination struct {
	out    io.Writer
	failed int
	warned int
}

func (e *examination) ok(subject, format string, args ...any) {
	fmt.Fprintf(e.out, "ok    %-12s %s\n", subject, fmt.Sprintf(format, args...))
}

func (e *examination) warn(subject, finding, remedy string) {
	e.warned++
	fmt.Fprintf(e.out, "warn  %-12s %s\n      %-12s → %s\n", subject, finding, "", remedy)
}

func (e *examination) fail(subject string, err error, remedy string) {
	e.failed++
	fmt.Fprintf(e.out, "FAIL  %-12s %v\n      %-12s → %s\n", subject, err, "", remedy)
}

// Run makes one check after the other and prints a line for each.
func (c *doctorCmd) Run(ctx context.Context, std terminal.Streams) error {
	e := &examination{out: std.Out}
	c.checkSettings(e)
	c.checkDataFolder(e)
	c.checkIndex(ctx, e)
	c.checkStore(ctx, e)
	c.checkReferences(e)
	switch {
	case e.failed > 0:
		fmt.Fprintf(std.Out, "\n%d to fix, %d to look at\n", e.failed, e.warned)
		return exit.With(exit.Failure, exit.ErrReported)
	case e.warned > 0:
		fmt.Fprintf(std.Out, "\nnothing to fix, %d to look at\n", e.warned)
	default:
		fmt.Fprintln(std.Out, "\nall is well")
	}
	return nil
}

func (c *doctorCmd) checkSettings(e *examination) {
	known := map[string]bool{}
	for _, name := range knownVariables {
		known[name], known[name+"_FILE"] = true, true
	}
	for _, name := range wiring.ProviderVariables() {
		known[name] = true
	}
	unknown := false
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "CAS_") && !strings.HasPrefix(name, "CAS_TEST_") && !known[name] {
			unknown = true
			e.warn("settings", name+" is set, and there is no such setting", "compare its spelling with `cas serve --help`")
		}
	}
	if !unknown {
		e.ok("settings", "index: %s; store: %s", c.Index.Describe(c.Data), c.ObjectStore.Describe(c.Data))
	}
}

func (c *doctorCmd) checkDataFolder(e *examination) {
	const subject = "data folder"
	if err := c.Data.CreateFolder(); err != nil {
		e.fail(subject, err, "set CAS_DATA_DIR to a folder that "+userName()+" may write to")
		return
	}
	probe, err := os.CreateTemp(c.DataDir, "doctor-")
	if err != nil {
		e.fail(subject, err, "give "+userName()+" the right to write there, or set CAS_DATA_DIR to another folder")
		return
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		e.fail(subject, err, "give "+userName()+" the right to write there")
		return
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(c.DataDir, &disk); err != nil {
		e.fail(subject, err, "look at the disk under "+c.DataDir)
		return
	}
	free := disk.Bavail * uint64(disk.Bsize)
	if free < lowSpace {
		e.warn(subject, fmt.Sprintf("%s has %s left", c.DataDir, humanize.IBytes(free)), "make room, or set CAS_DATA_DIR to a folder on a larger disk")
	} else {
		e.ok(subject, "%s can be written to, %s free", c.DataDir, humanize.IBytes(free))
	}
	for _, name := range []string{settings.AdminTokenFile, settings.SQLiteFile} {
		info, err := os.Stat(c.Path(name))
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			e.warn("permissions", fmt.Sprintf("%s can be read by others (%v)", c.Path(name), info.Mode().Perm()), "chmod 600 "+c.Path(name))
		}
	}
}

func userName() string { return fmt.Sprintf("this user (uid %d)", os.Getuid()) }

func (c *doctorCmd) checkIndex(ctx context.Context, e *examination) {
	const subject = "index"
	x, err := wiring.OpenIndex(ctx, c.Index, c.Data, zerolog.Nop())
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
	c.checkClock(ctx, e, x)
}

// indexRemedy returns what to do if the index can't be used.
func (c *doctorCmd) indexRemedy(err error) string {
	switch {
	case errors.Is(err, wiring.ErrIndexDamaged):
		return wiring.RestoreIndex
	case errors.Is(err, cas.ErrNoSpace):
		return "make room"
	case c.Index.Embedded():
		return "give " + userName() + " the right to read and write " + c.Path(settings.SQLiteFile) + ", and its folder"
	}
	if remedy := wiring.DatabaseRemedy(err); remedy != "" {
		return remedy
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
	objects, err := wiring.OpenObjectStore(c.ObjectStore, c.Data, zerolog.Nop())
	if err != nil {
		e.fail(subject, err, "correct the settings it names")
		return
	}
	defer objects.Close()
	if err := objects.Check(ctx); err != nil {
		e.fail(subject, err, storeRemedy(objects, err))
		return
	}
	start := time.Now()
	if err := roundTrip(ctx, objects); err != nil {
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
	c.checkMark(ctx, e, objects)
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

// checkMark checks that the object store belongs to the index. Without a current index
// there is nothing to compare, and checkIndex has said so.
func (c *doctorCmd) checkMark(ctx context.Context, e *examination, objects wiring.ObjectStore) {
	x, err := wiring.OpenIndex(ctx, c.Index, c.Data, zerolog.Nop())
	if err != nil {
		return
	}
	defer x.Close()
	if x.CheckSchema(ctx) != nil {
		return
	}
	const subject = "store mark"
	switch isMarked, err := wiring.BelongsTo(ctx, x, objects); {
	case err != nil:
		e.fail(subject, err, "set the index and the store that belong together, or follow the message")
	case isMarked:
		e.ok(subject, "the store belongs to the index")
	default:
		e.ok(subject, "the store has no mark yet; `cas serve` makes it")
	}
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
func roundTrip(ctx context.Context, objects cas.ObjectStore) error {
	var data [1000]byte
	rand.Read(data[:])
	ref := cas.ObjectRef{Digest: cas.DigestOf(data[:])}
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
