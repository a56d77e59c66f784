package settings

import (
	"path"
	"time"
)

// Index chooses the index: Postgres if a URL is set, else SQLite in the data folder.
type Index struct {
	DatabaseURL Secret `kong:"-" secret:"CAS_DATABASE_URL" help:"postgres://… of the index; without it, SQLite in the data folder"`
	ListenURL   Secret `kong:"-" secret:"CAS_DATABASE_LISTEN_URL" help:"direct postgres://… for LISTEN, if CAS_DATABASE_URL is a pooler's"`

	// ProbeInterval is how often a gateway checks that it still hears of changes; 0 means
	// the usual time. Only tests set it.
	ProbeInterval time.Duration `kong:"-"`
}

// Embedded reports whether the index is SQLite in the data folder.
func (x Index) Embedded() bool { return x.DatabaseURL == "" }

// Describe names the index for logs, without its password.
func (x Index) Describe(data Data) string {
	if x.Embedded() {
		return "SQLite at " + data.Path(SQLiteFile)
	}
	return "Postgres"
}

// ObjectStore chooses the object store: a bucket if an endpoint is set, else a folder
// in the data folder.
type ObjectStore struct {
	S3Endpoint     string        `name:"s3-endpoint" env:"CAS_S3_ENDPOINT" help:"URL of an S3-compatible store (http:// means no TLS; a path is allowed, as at Supabase); without it, a folder in the data folder." placeholder:"URL"`
	S3Bucket       string        `name:"s3-bucket" env:"CAS_S3_BUCKET" help:"Bucket for the objects." placeholder:"NAME"`
	S3Region       string        `name:"s3-region" env:"CAS_S3_REGION" help:"The bucket's region; us-east-1 if empty." placeholder:"NAME"`
	S3Timeout      time.Duration `name:"s3-timeout" env:"CAS_S3_TIMEOUT" default:"10s" help:"How long the bucket's store may take for an answer, or for the next byte of a transfer. A request with retries takes 3s more at most. A read waits up to six times as long for its answer while the store sends the bytes of many others."`
	S3Checksums    Switch        `name:"s3-checksums" env:"CAS_S3_CHECKSUMS" default:"on" enum:"on,off" help:"off uploads without x-amz-checksum-sha256, for a store that refuses uploads with it."`
	S3Prefix       string        `name:"s3-prefix" env:"CAS_S3_PREFIX" help:"Folder in the bucket for all objects." placeholder:"PATH"`
	S3Credentials  string        `name:"s3-credentials" env:"CAS_S3_CREDENTIALS" default:"keys" enum:"keys,iam" help:"keys, or iam: the credentials of the role that the machine or container has."`
	S3SessionToken Secret        `kong:"-" secret:"CAS_S3_SESSION_TOKEN" help:"session token, if the keys for the bucket are temporary"`
	S3AccessKey    Secret        `kong:"-" secret:"CAS_S3_ACCESS_KEY" help:"access key for the bucket"`
	S3SecretKey    Secret        `kong:"-" secret:"CAS_S3_SECRET_KEY" help:"secret key for the bucket"`
}

// Embedded reports whether the object store is a folder in the data folder.
func (s ObjectStore) Embedded() bool { return s.S3Endpoint == "" }

// Describe names the object store for logs.
func (s ObjectStore) Describe(data Data) string {
	if s.Embedded() {
		return "folder " + data.Path(ObjectsDir)
	}
	return "bucket " + path.Join(s.S3Bucket, s.S3Prefix) + " at " + s.S3Endpoint
}

// DefaultCacheFill is the default of LocalTier.CacheFill.
const DefaultCacheFill ByteSize = 64 << 20

// LocalTier is the folder for copies of a bucket's objects on a local disk.
type LocalTier struct {
	CacheDir  string   `name:"cache-dir" env:"CAS_CACHE_DIR" help:"Folder on a local disk for copies of the bucket's objects, which are then read there; each gateway needs its own. Without it there are none. A relative path begins at the working directory." placeholder:"DIR"`
	CacheSize ByteSize `name:"cache-size" env:"CAS_CACHE_SIZE" default:"0" help:"Bytes of all copies in CAS_CACHE_DIR; the least recently used go first." placeholder:"SIZE"`
	CacheFill ByteSize `name:"cache-fill" env:"CAS_CACHE_FILL" default:"64MiB" help:"Size below which a blob of which a range is read is copied whole into CAS_CACHE_DIR; 0 copies none." placeholder:"SIZE"`
}
