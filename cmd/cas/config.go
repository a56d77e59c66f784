package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
)

// dataConfig is where local things lie. Every command has it.
type dataConfig struct {
	DataDir string `name:"data-dir" env:"CAS_DATA_DIR" default:"${data_dir}" help:"Folder for the embedded index and store, the spool, and the admin token." placeholder:"DIR"`
}

func (c dataConfig) path(name string) string { return filepath.Join(c.DataDir, name) }

// make makes the data folder.
func (c dataConfig) make() error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return usageError{fmt.Errorf("the data folder can't be made; give another with CAS_DATA_DIR: %w", err)}
	}
	return nil
}

// defaultDataDir is $XDG_DATA_HOME/casgate, else ~/.local/share/casgate.
func defaultDataDir() string {
	home := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(home) { // the specification says to ignore a relative one
		user, err := os.UserHomeDir()
		if err != nil {
			user = "/var/lib" // a service without a home
		}
		home = filepath.Join(user, ".local", "share")
	}
	return filepath.Join(home, "casgate")
}

// indexConfig says which index to use: Postgres where a URL is set, else SQLite
// in the data folder.
type indexConfig struct {
	DatabaseURL secret `kong:"-" secret:"CAS_DATABASE_URL" help:"postgres://… of the index; without it, SQLite in the data folder"`
	ListenURL   secret `kong:"-" secret:"CAS_DATABASE_LISTEN_URL" help:"direct postgres://… for LISTEN, where CAS_DATABASE_URL is a pooler's"`
}

// storeConfig says which object store to use: a bucket where an endpoint is set,
// else a folder in the data folder.
type storeConfig struct {
	S3Endpoint  string `name:"s3-endpoint" env:"CAS_S3_ENDPOINT" help:"URL of an S3-compatible store (http:// means no TLS); without it, a folder in the data folder." placeholder:"URL"`
	S3Bucket    string `name:"s3-bucket" env:"CAS_S3_BUCKET" help:"Bucket for the objects." placeholder:"NAME"`
	S3Region    string `name:"s3-region" env:"CAS_S3_REGION" help:"The bucket's region; us-east-1 if empty." placeholder:"NAME"`
	S3AccessKey secret `kong:"-" secret:"CAS_S3_ACCESS_KEY" help:"access key for the bucket"`
	S3SecretKey secret `kong:"-" secret:"CAS_S3_SECRET_KEY" help:"secret key for the bucket"`
}

// clientConfig is how the client commands find the gateway.
type clientConfig struct {
	dataConfig
	URL   string `name:"url" env:"CAS_URL" default:"http://127.0.0.1:8080" help:"The gateway's URL." placeholder:"URL"`
	Token secret `kong:"-" secret:"CAS_TOKEN" help:"API token; without it, the file admin-token in the data folder"`
}

// token returns the token to use: the one given, else the admin token that a
// gateway on this machine left in its data folder, else none.
func (c clientConfig) token() (string, error) {
	if c.Token != "" {
		return c.Token.reveal(), nil
	}
	b, err := os.ReadFile(c.path(adminTokenFile))
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the admin token; set CAS_TOKEN instead: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// byteSize is a number of bytes in settings, such as 5GiB or 1048576.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *byteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<62 {
		return fmt.Errorf("%q is not a size such as 5GiB, 100MB or 1048576", text)
	}
	*s = byteSize(n)
	return nil
}

// The files in the data folder.
const (
	adminTokenFile = "admin-token"
	listenFile     = "listen"
	lockFile       = "lock"
	sqliteFile     = "index.sqlite"
	objectsDir     = "objects"
	spoolDir       = "spool"
)
