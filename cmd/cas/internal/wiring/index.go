// Package wiring opens what the settings choose: the index, the object store, the
// sources of imported files, the providers, and the journal. It alone knows drivers and
// provider adapters.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/collector"
	"casgate/cas/journal"
	"casgate/cas/reindexer"
	"casgate/cas/scrubber"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway"
	"casgate/index"
	"casgate/index/export"
	"casgate/index/pgindex"
	"casgate/index/sqliteindex"
	"casgate/migrations"
	"casgate/providers/ledger"
)

// Index is what the commands need of an index driver.
type Index interface {
	cas.Index
	cas.FileIndex
	cas.TextIndex
	collector.Index
	collector.RetentionIndex
	collector.OrphanIndex
	scrubber.Index
	reindexer.Index
	export.Source
	export.Target
	journal.Store
	gateway.AccessIndex
	ledger.Store
	index.InventorySource

	Migrate(ctx context.Context) error
	MigrationStatus(ctx context.Context) ([]migrations.Status, error)
	CheckSchema(ctx context.Context) error

	CreateToken(ctx context.Context, t access.Token) (access.Token, error)
	Tokens(ctx context.Context) ([]access.Token, error)
	RevokeToken(ctx context.Context, id string) error
	RetireSigningKey(ctx context.Context, id string) error

	Clock(ctx context.Context) (time.Time, error)

	Close()
}

// Observers see what an index does. Their zero values see nothing.
type Observers struct {
	Log    zerolog.Logger
	Traces trace.TracerProvider // of the queries to Postgres; SQLite has none
}

// OpenIndex opens the index that the settings choose. It never falls back to another one:
// a Postgres that can't be reached is an error.
func OpenIndex(ctx context.Context, c settings.Index, data settings.Data, o Observers) (Index, error) {
	if !c.Embedded() {
		x, err := pgindex.Open(ctx, pgindex.Options{URL: c.DatabaseURL.Reveal(), ListenURL: c.ListenURL.Reveal(), ProbeInterval: c.ProbeInterval, Log: o.Log, Traces: o.Traces})
		if err != nil {
			err = fmt.Errorf("%w (from CAS_DATABASE_URL; unset it to use SQLite in the data folder)", err)
			if errors.Is(err, pgindex.ErrURL) {
				err = exit.With(exit.Usage, err)
			}
			return nil, err
		}
		return x, nil
	}
	if err := data.CreateFolder(); err != nil {
		return nil, err
	}
	if err := CheckLog(c, data); err != nil {
		return nil, err
	}
	if err := CheckOwner(data.Path(settings.SQLiteFile)); err != nil {
		return nil, err
	}
	x, err := sqliteindex.Open(ctx, data.Path(settings.SQLiteFile))
	if err != nil {
		return nil, err
	}
	return x, nil
}

// CheckLog refuses an embedded index whose file is gone while its log, the -wal file, is
// there: an index that is made in its place would remove the log.
func CheckLog(c settings.Index, data settings.Data) error {
	if !c.Embedded() {
		return nil
	}
	return exit.With(exit.Usage, sqliteindex.CheckLog(data.Path(settings.SQLiteFile)))
}

// OpenCurrentIndex opens the index and checks its schema. It brings the schema of an
// embedded index up to date. The error of a damaged or missing file has an advice.
func OpenCurrentIndex(ctx context.Context, c settings.Index, data settings.Data, o Observers) (Index, error) {
	x, err := OpenIndex(ctx, c, data, o)
	if err != nil {
		return nil, AdviseRestore(err)
	}
	if c.Embedded() {
		err = x.Migrate(ctx)
	} else {
		err = x.CheckSchema(ctx)
	}
	if err != nil {
		x.Close()
		return nil, AdviseRestore(err)
	}
	return x, nil
}

// CheckPages returns an error that wraps ErrIndexDamaged if the file of an embedded index
// is damaged. It reads the whole file. For Postgres it returns nil: its server checks
// its pages itself.
func CheckPages(ctx context.Context, x Index) error {
	embedded, ok := x.(*sqliteindex.Index)
	if !ok {
		return nil
	}
	return embedded.CheckPages(ctx)
}

// ErrIndexDamaged: the file of an embedded index is damaged.
var ErrIndexDamaged = sqliteindex.ErrDamaged

// RestoreIndex is the advice for ErrIndexDamaged.
const RestoreIndex = "stop the gateway, move the index's file and its -wal and -shm files away (an old -wal would damage a restored file again), and put a backup there, or run `cas reindex`, with --from if there is a file of `cas export`; the blobs' bytes in the object store are not affected"

// ErrLogAlone: the file of an embedded index is gone, and its log is there.
var ErrLogAlone = sqliteindex.ErrLogAlone

// ReturnIndex is the advice for ErrLogAlone.
const ReturnIndex = "put that very file back; if it is lost, or before you restore a backup of it, move the -wal and -shm files away; without a backup `cas reindex` makes the index again"

// AdviseRestore adds RestoreIndex to an error that wraps ErrIndexDamaged, and ReturnIndex to
// one that wraps ErrLogAlone. It returns any other error as it is.
func AdviseRestore(err error) error {
	switch {
	case errors.Is(err, ErrIndexDamaged):
		return fmt.Errorf("%w; %s", err, RestoreIndex)
	case errors.Is(err, ErrLogAlone):
		return fmt.Errorf("%w; %s", err, ReturnIndex)
	}
	return err
}

// Listen reports the changes that other processes make, until ctx is done: gateways, and
// commands beside an embedded one.
func Listen(ctx context.Context, x Index, changes index.Listener) error {
	feed, ok := x.(index.Feed)
	if !ok {
		return fmt.Errorf("%T reports no changes", x)
	}
	return feed.Listen(ctx, changes)
}

// feedTimeout bounds CheckFeed. The first probe of a listener takes milliseconds.
const feedTimeout = 5 * time.Second

// CheckFeed returns an error if the index does not announce changes to this process.
func CheckFeed(ctx context.Context, x Index) error {
	ctx, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	heard := false
	_ = Listen(ctx, x, index.Listener{State: func(listening bool) { // its error says only that ctx is done
		if listening {
			heard = true
			cancel()
		}
	}})
	if !heard {
		return errors.New("a test announcement did not come back (LISTEN, NOTIFY)")
	}
	return nil
}

// EndLeases ends the leases of copies in an embedded index. The caller has the lock of the
// data folder, so the gateway that held them is gone, perhaps killed. `cas gc` has no lock
// and may lose leases of deletes: a delete may then be sent twice, and the fence keeps the
// rows right.
func EndLeases(ctx context.Context, x Index) error {
	if embedded, ok := x.(*sqliteindex.Index); ok {
		return embedded.EndLeases(ctx)
	}
	return nil
}
