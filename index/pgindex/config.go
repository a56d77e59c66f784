package pgindex

import (
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// What a URL gets that doesn't say otherwise.
const (
	defaultMaxConns       = 16
	defaultConnectTimeout = 3 * time.Second
	defaultApplication    = "casgate"
)

// errURL is all that is said about a URL that can't be taken apart: in such a
// one nobody can tell where the password ends, so no part of it may be shown.
var errURL = errors.New("it must look like postgres://user:password@host:5432/database, " +
	"with every special character inside a part, those of the password above all, percent-encoded")

// poolConfig reads a database URL and fills in our defaults. No error has the
// password in it.
func poolConfig(databaseURL string) (*pgxpool.Config, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Opaque != "" || u.Fragment != "" {
		return nil, errURL
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errURL
	}
	// The driver takes more than net/url does, a bare ? in a password among it; where
	// the two may disagree about where the password ends, the URL is refused.
	if at := strings.Count(databaseURL, "@"); at > 1 || (at == 1) != (u.User != nil) {
		return nil, errURL
	}
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, explain(u, query)
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

// explain finds out what the driver has against a URL by asking it about the
// same URL without its secrets, since its errors quote what they are about.
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
