package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/cas/filestore"
	"casgate/cas/journal"
	"casgate/cas/s3store"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway"
	"casgate/index/pgindex"
	"casgate/index/sqliteindex"
	"casgate/migrations"
	"casgate/providers"
)

// database is what the commands need of an index driver.
type database interface {
	cas.Index
	cas.FileIndex
	journal.Store
	gateway.AccessIndex
	providers.Ledger

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

// openIndex opens the index that the settings choose. There is no falling back:
// a Postgres that can't be reached is an error.
func openIndex(ctx context.Context, c settings.Index, data settings.Data, log zerolog.Logger) (database, error) {
	if !c.Embedded() {
		x, err := pgindex.Open(ctx, pgindex.Options{URL: c.DatabaseURL.Reveal(), ListenURL: c.ListenURL.Reveal(), Log: log})
		if err != nil {
			return nil, fmt.Errorf("%w (from CAS_DATABASE_URL; unset it to use SQLite in the data folder)", err)
		}
		return x, nil
	}
	if err := data.CreateFolder(); err != nil {
		return nil, err
	}
	x, err := sqliteindex.Open(ctx, data.Path(settings.SQLiteFile))
	if err != nil {
		return nil, err
	}
	return x, nil
}

// openCurrentIndex opens the index and makes sure of its schema, which for an
// embedded one means to bring it up to date.
func openCurrentIndex(ctx context.Context, c settings.Index, data settings.Data, log zerolog.Logger) (database, error) {
	x, err := openIndex(ctx, c, data, log)
	if err != nil {
		return nil, err
	}
	if c.Embedded() {
		err = x.Migrate(ctx)
	} else {
		err = x.CheckSchema(ctx)
	}
	if err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

// objectStore is an object store that was opened here and must be closed.
type objectStore struct {
	cas.ObjectStore
	close func()
	s3    *s3store.Store   // where it is a bucket
	files *filestore.Store // where it is a folder
	text  string           // for logs
}

// openObjects opens the object store that the settings choose. It sends nothing.
func openObjects(c settings.ObjectStore, data settings.Data) (objectStore, error) {
	if !c.Embedded() {
		s, err := s3store.New(s3store.Options{
			Endpoint:  c.S3Endpoint,
			Bucket:    c.S3Bucket,
			Region:    c.S3Region,
			AccessKey: c.S3AccessKey.Reveal(),
			SecretKey: c.S3SecretKey.Reveal(),
		})
		if err != nil {
			return objectStore{}, exit.Usagef("%w (see CAS_S3_ENDPOINT, CAS_S3_BUCKET, CAS_S3_ACCESS_KEY and CAS_S3_SECRET_KEY)", err)
		}
		return objectStore{s, s.Close, s, nil, "bucket " + c.S3Bucket + " at " + c.S3Endpoint}, nil
	}
	if c.S3Bucket != "" || c.S3AccessKey != "" || c.S3SecretKey != "" {
		return objectStore{}, exit.Usagef("there are settings for a bucket but no CAS_S3_ENDPOINT; set it, or unset the others to use the data folder")
	}
	if err := data.CreateFolder(); err != nil {
		return objectStore{}, err
	}
	s, err := filestore.Open(data.Path(settings.ObjectsDir))
	if err != nil {
		return objectStore{}, err
	}
	return objectStore{s, func() { s.Close() }, nil, s, "folder " + data.Path(settings.ObjectsDir)}, nil
}

// lockData makes sure that one gateway alone uses the embedded index. The
// returned function gives the lock back; the system does so too when the process
// ends in whatever way.
func lockData(data settings.Data) (unlock func(), err error) {
	lock := flock.New(data.Path(settings.LockFile))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if !locked {
		return nil, exit.Usagef("another gateway uses the data folder %s; stop it, or give this one its own with CAS_DATA_DIR", data.DataDir)
	}
	return func() { _ = lock.Unlock() }, nil // closing it, which is all that's left to do, can't be mended
}

// ensureAdminToken makes the first token of an embedded gateway and leaves it in
// the data folder. The file is written first: a crash before the index knows the
// token leaves an index without tokens, and the next start makes another.
func ensureAdminToken(ctx context.Context, x database, records *journal.Writer, data settings.Data, log zerolog.Logger) error {
	tokens, err := x.Tokens(ctx)
	if err != nil {
		return err
	}
	if len(tokens) > 0 {
		return nil
	}
	token, text := access.NewToken("admin (made at the first start)", []access.Scope{access.ScopeAdmin}, time.Time{})
	if err := writePrivate(data.Path(settings.AdminTokenFile), text+"\n"); err != nil {
		return fmt.Errorf("write the admin token: %w", err)
	}
	start := time.Now()
	if _, err := x.CreateToken(ctx, token); err != nil {
		return fmt.Errorf("store the admin token: %w", err)
	}
	made := endedNow(journal.Record{ID: token.ID, Kind: journal.KindTokenMade, Actor: journal.ActorGateway}, start, nil)
	if records != nil {
		records.Add(made)
	}
	log.Info().Str("operation_id", made.ID).Str("file", data.Path(settings.AdminTokenFile)).Msg("first start: made an admin token; the client commands find it there")
	return nil
}

// writePrivate replaces a file, readable by its owner alone, in one step.
func writePrivate(path, content string) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
