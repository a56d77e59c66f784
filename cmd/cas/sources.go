package main

import (
	"context"
	"errors"
	"iter"

	"casgate/cas"
	"casgate/cas/filestore/dirsource"
	"casgate/cas/importer"
	"casgate/cas/s3store/s3source"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
)

// sourceConfig says where the bytes of imported files lie: a bucket, a folder, or
// both. `cas serve` has it too, for files that are asked for before their turn.
type sourceConfig struct {
	SourceDir         string          `name:"source-dir" env:"CAS_SOURCE_DIR" help:"Folder that imported files lie in." placeholder:"DIR"`
	SourceS3Endpoint  string          `name:"source-s3-endpoint" env:"CAS_SOURCE_S3_ENDPOINT" help:"URL of the S3-compatible store that imported files lie in; it may have a path, as Supabase's has." placeholder:"URL"`
	SourceS3Bucket    string          `name:"source-s3-bucket" env:"CAS_SOURCE_S3_BUCKET" help:"Bucket that imported files lie in." placeholder:"NAME"`
	SourceS3Region    string          `name:"source-s3-region" env:"CAS_SOURCE_S3_REGION" help:"That bucket's region; us-east-1 if empty." placeholder:"NAME"`
	SourceS3Prefix    string          `name:"source-s3-prefix" env:"CAS_SOURCE_S3_PREFIX" help:"Folder in that bucket which all storage paths are relative to." placeholder:"PATH"`
	SourceS3AccessKey settings.Secret `kong:"-" secret:"CAS_SOURCE_S3_ACCESS_KEY" help:"access key for that bucket"`
	SourceS3SecretKey settings.Secret `kong:"-" secret:"CAS_SOURCE_S3_SECRET_KEY" help:"secret key for that bucket"`
}

// byteSource is what the commands need of a source.
type byteSource interface {
	cas.Source
	importer.Statter
	Check(ctx context.Context) error
	Rows(ctx context.Context) iter.Seq2[importer.Row, error]
}

// openedSources are the sources that are configured; either may be nil.
type openedSources struct {
	bucket *s3source.Source
	folder *dirsource.Source
}

// openSources opens the sources that are configured. It sends nothing.
func (c sourceConfig) openSources() (openedSources, error) {
	var s openedSources
	var err error
	if c.SourceS3Endpoint != "" {
		s.bucket, err = s3source.New(s3source.Options{
			Endpoint: c.SourceS3Endpoint, Bucket: c.SourceS3Bucket, Region: c.SourceS3Region, Prefix: c.SourceS3Prefix,
			AccessKey: c.SourceS3AccessKey.Reveal(), SecretKey: c.SourceS3SecretKey.Reveal(),
		})
		if err != nil {
			return s, exit.Usagef("%w (see CAS_SOURCE_S3_ENDPOINT, CAS_SOURCE_S3_BUCKET, CAS_SOURCE_S3_ACCESS_KEY and CAS_SOURCE_S3_SECRET_KEY)", err)
		}
	} else if c.SourceS3Bucket != "" || c.SourceS3AccessKey != "" || c.SourceS3SecretKey != "" {
		return s, exit.Usagef("there are settings for a bucket to import from but no CAS_SOURCE_S3_ENDPOINT; set it, or unset the others")
	}
	if c.SourceDir != "" {
		if s.folder, err = dirsource.Open(c.SourceDir); err != nil {
			s.close()
			return s, exit.Usagef("%w (see CAS_SOURCE_DIR)", err)
		}
	}
	return s, nil
}

func (s openedSources) close() {
	if s.bucket != nil {
		s.bucket.Close()
	}
	if s.folder != nil {
		s.folder.Close()
	}
}

// all returns the sources there are.
func (s openedSources) all() (all []byteSource) {
	if s.bucket != nil {
		all = append(all, s.bucket)
	}
	if s.folder != nil {
		all = append(all, s.folder)
	}
	return all
}

// list returns them as cas.Files takes them.
func (s openedSources) list() (list []cas.Source) {
	for _, one := range s.all() {
		list = append(list, one)
	}
	return list
}

// statters returns them as importer.Survey takes them.
func (s openedSources) statters() (list []importer.Statter) {
	for _, one := range s.all() {
		list = append(list, one)
	}
	return list
}

// check makes sure that each answers.
func (s openedSources) check(ctx context.Context) error {
	for _, one := range s.all() {
		if err := one.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// oldTableConfig says which table of the old database to use.
type oldTableConfig struct {
	OldDatabaseURL settings.Secret   `kong:"-" secret:"CAS_SOURCE_DATABASE_URL" help:"postgres://… of the old database; it may be a pooler's"`
	Table          string            `name:"table" default:"files" help:"The old table or view, or schema.table." placeholder:"NAME"`
	Map            map[string]string `name:"map" help:"The column that has a field, where it isn't named as the field is, such as --map sha256=content_hash. May be repeated." placeholder:"FIELD=COLUMN"`
}

func (c oldTableConfig) mapping() (importer.Mapping, error) {
	m, err := importer.ParseMapping(c.Map)
	if err != nil {
		return nil, exit.With(exit.Usage, err)
	}
	return m, nil
}

// withCode gives errors of an import or a backfill the exit codes of other commands.
func withCode(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return exit.With(exit.Interrupted, errors.New("stopped; the same command goes on from here"))
	case errors.Is(err, importer.ErrMapping):
		return exit.With(exit.Usage, err)
	case errors.Is(err, cas.ErrOriginUnavailable):
		return exit.With(exit.Unavailable, err)
	}
	return err
}
