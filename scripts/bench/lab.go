package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// lab has the servers and programs that cases need. A server that several cases
// share starts when the first case needs it.
type lab struct {
	options
	build    build
	dir      string // for everything that goes away at the end
	binary   string // the gateway
	progress io.Writer
	cleanups []func()

	sharedServices services
	sharedServed   *gateway
	sharedEmbedded *gateway
}

// newLab makes the lab and builds the gateway.
func newLab(ctx context.Context, o options, b build, progress io.Writer) (*lab, error) {
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "casgate-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, build: b, dir: dir, binary: filepath.Join(dir, "cas"), progress: progress}
	l.atEnd(func() { os.RemoveAll(dir) })
	fmt.Fprintf(progress, "bench: building the gateway in %s %s\n", b.root, strings.Join(b.flags, " "))
	arguments := append([]string{"build", "-trimpath", "-o", l.binary}, b.flags...)
	_, err = output(ctx, b.root, append(os.Environ(), "CGO_ENABLED=0"), "go", append(arguments, "./cmd/cas")...)
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// moduleRoot returns the folder of the module that we are in.
func moduleRoot(ctx context.Context) (string, error) {
	gomod, err := output(ctx, "", os.Environ(), "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(gomod) || filepath.Base(gomod) != "go.mod" {
		return "", errors.New("run it inside the checkout: the gateway is built from there")
	}
	return filepath.Dir(gomod), nil
}

// atEnd adds a function to call at the end, the last one first.
func (l *lab) atEnd(f func()) { l.cleanups = append(l.cleanups, f) }

// close ends and removes everything.
func (l *lab) close() {
	for _, f := range slices.Backward(l.cleanups) {
		f()
	}
}

// served returns the gateway on Postgres and MinIO.
func (l *lab) served(ctx context.Context) (*gateway, error) {
	if l.sharedServed == nil {
		g, err := l.startServed(ctx)
		if err != nil {
			return nil, err
		}
		l.sharedServed = g
		l.atEnd(g.stop)
	}
	return l.sharedServed, nil
}

// embedded returns the gateway on SQLite and a folder.
func (l *lab) embedded(ctx context.Context) (*gateway, error) {
	if l.sharedEmbedded == nil {
		g, err := l.startEmbedded(ctx, "")
		if err != nil {
			return nil, err
		}
		l.sharedEmbedded = g
		l.atEnd(g.stop)
	}
	return l.sharedEmbedded, nil
}

// services are a database and two buckets of our own on the servers that the
// environment names, and a token for gateways on them.
type services struct {
	databaseURL string
	endpoint    string
	accessKey   string
	secretKey   string
	client      *minio.Client
	bucket      string // the gateway's
	direct      string // the yardstick's
	token       string
}

// settings are those of a gateway on the services.
func (s services) settings() []string {
	return []string{
		"CAS_DATABASE_URL=" + s.databaseURL,
		"CAS_S3_ENDPOINT=" + s.endpoint,
		"CAS_S3_BUCKET=" + s.bucket,
		"CAS_S3_ACCESS_KEY=" + s.accessKey,
		"CAS_S3_SECRET_KEY=" + s.secretKey,
	}
}

// services sets the services up, the first time.
func (l *lab) services(ctx context.Context) (services, error) {
	if l.sharedServices.token != "" {
		return l.sharedServices, nil
	}
	id := strings.ToLower(rand.Text())[:12]
	s := services{bucket: "bench-" + id, direct: "bench-" + id + "-direct"}
	var server string
	for name, value := range map[string]*string{
		"CAS_TEST_DATABASE_URL":  &server,
		"CAS_TEST_S3_ENDPOINT":   &s.endpoint,
		"CAS_TEST_S3_ACCESS_KEY": &s.accessKey,
		"CAS_TEST_S3_SECRET_KEY": &s.secretKey,
	} {
		if *value = os.Getenv(name); *value == "" {
			return s, fmt.Errorf("%s is not set: run it by  SERVICES_FSYNC=on scripts/services run go run ./scripts/bench", name)
		}
	}
	var err error
	if s.databaseURL, err = l.makeDatabase(ctx, server, "casgate_bench_"+id); err != nil {
		return s, err
	}
	if s.client, err = newS3Client(s); err != nil {
		return s, err
	}
	for _, bucket := range []string{s.bucket, s.direct} {
		if err := s.client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
			return s, fmt.Errorf("make a bucket on MinIO: %w", err)
		}
		l.atEnd(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.client.RemoveBucketWithOptions(ctx, bucket, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
				fmt.Fprintf(l.progress, "bench: remove the bucket %s: %v\n", bucket, err)
			}
		})
	}
	if s.token, err = l.prepareIndex(ctx, append(s.settings(), "CAS_DATA_DIR="+filepath.Join(l.dir, "client"))); err != nil {
		return s, err
	}
	l.sharedServices = s
	return s, nil
}

// prepareIndex migrates a new database and returns a token for gateways on it.
func (l *lab) prepareIndex(ctx context.Context, settings []string) (token string, err error) {
	env := cleanEnvironment(settings...)
	if _, err := output(ctx, "", env, l.binary, "migrate", "up"); err != nil {
		return "", err
	}
	return output(ctx, "", env, l.binary, "token", "create", "--name", "bench", "--scopes", "admin")
}

// makeDatabase makes an empty database that is dropped at the end, and returns
// its URL. It does so by psql: pgx is the index driver's own.
func (l *lab) makeDatabase(ctx context.Context, server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", errors.New("CAS_TEST_DATABASE_URL is not a URL")
	}
	if fsync, err := psql(ctx, server, "show fsync"); err != nil {
		return "", err
	} else if strings.TrimSpace(fsync) != "on" {
		return "", errors.New("the services run Postgres without fsync, which is not comparable: start the services with SERVICES_FSYNC=on")
	}
	if _, err := psql(ctx, server, "create database "+name); err != nil {
		return "", err
	}
	l.atEnd(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := psql(ctx, server, "drop database "+name+" with (force)"); err != nil {
			fmt.Fprintln(l.progress, "bench:", err)
		}
	})
	u.Path = "/" + name
	return u.String(), nil
}

// psql runs a statement and returns its output.
func psql(ctx context.Context, server, statement string) (string, error) {
	program := filepath.Join(os.Getenv("CAS_TEST_POSTGRES_BIN"), "psql")
	if !filepath.IsAbs(program) {
		var err error
		if program, err = exec.LookPath("psql"); err != nil {
			return "", err
		}
	}
	return output(ctx, "", os.Environ(), program, "-XAtq", "-d", server, "-c", statement)
}

func newS3Client(s services) (*minio.Client, error) {
	u, err := url.Parse(s.endpoint)
	if err != nil || u.Scheme != "http" {
		return nil, errors.New("CAS_TEST_S3_ENDPOINT must be an http:// URL: the load generator speaks no TLS")
	}
	return minio.New(u.Host, &minio.Options{
		Creds:           credentials.NewStaticV4(s.accessKey, s.secretKey, ""),
		Region:          "us-east-1",
		Transport:       s3Transport(),
		TrailingHeaders: true, // minio-go refuses a checksum header without it
	})
}
