package pgindex

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The defaults of a URL.
const (
	defaultMaxConns       = 16
	defaultConnectTimeout = 3 * time.Second
	defaultApplication    = "casgate"
)

// ErrURL: a database URL can't be parsed.
var ErrURL = errors.New("database URL")

// errURL is the error for a URL that can't be parsed. It shows no part of the URL,
// since the password's end is unknown.
var errURL = errors.New("it must look like postgres://user:password@host:5432/database, " +
	"with every special character inside a part, those of the password above all, percent-encoded")

// poolConfig parses a database URL and adds our defaults. No error contains the
// password.
func poolConfig(databaseURL string) (*pgxpool.Config, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Opaque != "" || u.Fragment != "" {
		return nil, errURL
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errURL
	}
	// The driver accepts more than net/url does, such as a bare ? in a password. A URL in
	// which the two may disagree about the password's end is refused.
	if at := strings.Count(databaseURL, "@"); at > 1 || (at == 1) != (u.User != nil) {
		return nil, errURL
	}
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, explain(u, query)
	}
	// Of several hosts at most one takes writes.
	if strings.Contains(u.Host, ",") && !query.Has("target_session_attrs") {
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if !query.Has("pool_max_conns") {
		config.MaxConns = defaultMaxConns
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = defaultConnectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = defaultApplication
	}
	return config, nil
}

// explain returns the driver's error for the same URL without its secrets, since the
// driver's errors quote parts of the URL.
func explain(u *url.URL, query url.Values) error {
	bare := *u
	if u.User != nil {
		bare.User = url.User(u.User.Username())
	}
	for _, secret := range []string{"password", "sslpassword", "passfile"} {
		query.Del(secret)
	}
	bare.RawQuery = query.Encode()
	if _, err := pgxpool.ParseConfig(bare.String()); err != nil {
		return err
	}
	return errURL
}
