package wiring

import (
	"context"
	"errors"
	"strings"

	"casgate/index/pgindex"
)

// ErrNotPostgres: the server of the index is no Postgres, or too old.
var ErrNotPostgres = pgindex.ErrNotPostgres

// databaseRemedies has what to do about the SQLSTATEs of Postgres and of poolers.
var databaseRemedies = map[string]string{
	"28P01":                     "correct user and password in CAS_DATABASE_URL",
	"28000":                     "correct the user in CAS_DATABASE_URL; or create the role, if the message says that it does not exist; else let the server's pg_hba.conf admit this user from this host",
	"3D000":                     "make the database, or correct its name in CAS_DATABASE_URL",
	"42501":                     "give the user of CAS_DATABASE_URL the rights of the schema's owner",
	"53300":                     "the server has no connection left: raise its max_connections, or lower pool_max_conns in CAS_DATABASE_URL",
	"57P03":                     "the server is starting or stopping: try again shortly",
	pgindex.CodeNoStatement:     usePoolerMode,
	pgindex.CodeStatementExists: usePoolerMode,
}

const usePoolerMode = "a pooler in transaction mode is in between: add default_query_exec_mode=exec to the query of CAS_DATABASE_URL, and set CAS_DATABASE_LISTEN_URL to a URL without the pooler"

// DatabaseRemedy returns what to do about an error of the index's server; "" if it does not
// tell.
func DatabaseRemedy(err error) string {
	if errors.Is(err, ErrNotPostgres) {
		return "set CAS_DATABASE_URL to a PostgreSQL 14 or newer; databases that only speak its protocol lack what the index needs"
	}
	if strings.Contains(err.Error(), "server refused TLS connection") { // pgconn has neither a code nor a value for it
		return "the server has no TLS: turn it on there, or set sslmode=disable in CAS_DATABASE_URL and CAS_DATABASE_LISTEN_URL, if the network in between is safe"
	}
	return databaseRemedies[pgindex.CodeOf(err)]
}

// CheckSession returns an error if a pooler in transaction mode is before the index, and the
// URL does not say so. For an embedded index it returns nil.
func CheckSession(ctx context.Context, x Index) error {
	pg, ok := x.(*pgindex.Index)
	if !ok {
		return nil
	}
	return pg.CheckSession(ctx)
}
