package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"casgate/scripts/old-manager/seed"
)

// place has a database and a bucket for the old manager and for the gateway, on the test
// services, and a folder for the program and its data.
type place struct {
	server    string // the Postgres server's URL
	databases []string
	buckets   []string
	client    *minio.Client
	dir       string

	old seed.Options
	env []string // of cas
}

func newPlace(ctx context.Context) (_ *place, err error) {
	p := &place{server: os.Getenv("CAS_TEST_DATABASE_URL")}
	endpoint, accessKey, secretKey := os.Getenv("CAS_TEST_S3_ENDPOINT"), os.Getenv("CAS_TEST_S3_ACCESS_KEY"), os.Getenv("CAS_TEST_S3_SECRET_KEY")
	if p.server == "" || endpoint == "" {
		return nil, errors.New("there are no services; start this command with  scripts/services run go run ./scripts/old-manager")
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.remove(context.WithoutCancel(ctx)))
		}
	}()
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	p.client, err = minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Secure: u.Scheme == "https", Region: "us-east-1",
	})
	if err != nil {
		return nil, err
	}
	tag := strings.ToLower(rand.Text()[:10])
	oldDatabase, err := p.makeDatabase(ctx, "old_manager_"+tag)
	if err != nil {
		return nil, err
	}
	newDatabase, err := p.makeDatabase(ctx, "casgate_"+tag)
	if err != nil {
		return nil, err
	}
	oldBucket, newBucket := "old-manager-"+tag, "casgate-"+tag
	for _, name := range []string{oldBucket, newBucket} {
		if err := p.client.MakeBucket(ctx, name, minio.MakeBucketOptions{}); err != nil {
			return nil, fmt.Errorf("create bucket %s: %w", name, err)
		}
		p.buckets = append(p.buckets, name)
	}
	if p.dir, err = os.MkdirTemp("", "old-manager-"); err != nil {
		return nil, err
	}
	p.old = seed.Options{DatabaseURL: oldDatabase, Endpoint: endpoint, Bucket: oldBucket, AccessKey: accessKey, SecretKey: secretKey}
	p.env = []string{
		"CAS_DATA_DIR=" + filepath.Join(p.dir, "data"),
		"CAS_DATABASE_URL=" + newDatabase,
		"CAS_S3_ENDPOINT=" + endpoint, "CAS_S3_BUCKET=" + newBucket, "CAS_S3_ACCESS_KEY=" + accessKey, "CAS_S3_SECRET_KEY=" + secretKey,
		"CAS_SOURCE_DATABASE_URL=" + oldDatabase,
		"CAS_SOURCE_S3_ENDPOINT=" + endpoint, "CAS_SOURCE_S3_BUCKET=" + oldBucket, "CAS_SOURCE_S3_ACCESS_KEY=" + accessKey, "CAS_SOURCE_S3_SECRET_KEY=" + secretKey,
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.program(), "casgate/cmd/cas")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build cas: %w", err)
	}
	return p, nil
}

func (p *place) program() string { return filepath.Join(p.dir, "cas") }

// environment returns the environment of cas: the settings of this place, without the
// caller's settings.
func (p *place) environment(more ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "CAS_") {
			env = append(env, entry)
		}
	}
	return append(append(env, p.env...), more...)
}

// String describes the place without passwords.
func (p *place) String() string {
	return fmt.Sprintf("databases %s, buckets %s, folder %s", strings.Join(p.databases, " and "), strings.Join(p.buckets, " and "), p.dir)
}

// makeDatabase creates a database on the server and returns its URL.
func (p *place) makeDatabase(ctx context.Context, name string) (databaseURL string, err error) {
	if err := p.admin(ctx, "create database "+name); err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	p.databases = append(p.databases, name)
	u, err := url.Parse(p.server)
	if err != nil {
		return "", errors.New("CAS_TEST_DATABASE_URL is not a URL")
	}
	u.Path = "/" + name
	return u.String(), nil
}

func (p *place) admin(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, p.server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// remove removes everything.
func (p *place) remove(ctx context.Context) error {
	var errs []error
	for _, name := range p.databases {
		errs = append(errs, p.admin(ctx, "drop database "+name+" with (force)"))
	}
	for _, name := range p.buckets {
		errs = append(errs, p.client.RemoveBucketWithOptions(ctx, name, minio.RemoveBucketOptions{ForceDelete: true}))
	}
	if p.dir != "" {
		errs = append(errs, os.RemoveAll(p.dir))
	}
	return errors.Join(errs...)
}
