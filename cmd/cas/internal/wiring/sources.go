package wiring

import (
	"context"
	"iter"

	"casgate/cas"
	"casgate/cas/folderstore/foldersource"
	"casgate/cas/importer"
	"casgate/cas/s3store/s3source"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
)

// Source is what the commands need of a source of imported files.
type Source interface {
	cas.Source
	importer.Statter
	Check(ctx context.Context) error
	Rows(ctx context.Context) iter.Seq2[importer.Row, error]
}

// Sources are the sources that are configured. Each may be nil.
type Sources struct {
	Bucket *s3source.Source
	Folder *foldersource.Source
}

// OpenSources opens the sources that are configured. It sends nothing.
func OpenSources(c settings.Sources) (Sources, error) {
	var s Sources
	var err error
	if c.SourceS3Endpoint != "" {
		s.Bucket, err = s3source.New(s3source.Options{
			Endpoint: c.SourceS3Endpoint, Bucket: c.SourceS3Bucket, Region: c.SourceS3Region, Prefix: c.SourceS3Prefix,
			AccessKey: c.SourceS3AccessKey.Reveal(), SecretKey: c.SourceS3SecretKey.Reveal(),
			SessionToken: c.SourceS3SessionToken.Reveal(), Role: c.SourceS3Credentials == "iam",
		})
		if err != nil {
			return s, exit.Usagef("%w (see CAS_SOURCE_S3_ENDPOINT, CAS_SOURCE_S3_BUCKET, CAS_SOURCE_S3_ACCESS_KEY and CAS_SOURCE_S3_SECRET_KEY)", err)
		}
	} else if c.SourceS3Bucket != "" || c.SourceS3AccessKey != "" || c.SourceS3SecretKey != "" {
		return s, exit.Usagef("there are settings for a bucket to import from but no CAS_SOURCE_S3_ENDPOINT; set it, or unset the others")
	}
	if c.SourceDir != "" {
		if s.Folder, err = foldersource.Open(c.SourceDir); err != nil {
			s.Close()
			return s, exit.Usagef("%w (see CAS_SOURCE_DIR)", err)
		}
	}
	return s, nil
}

// Close closes them.
func (s Sources) Close() {
	if s.Bucket != nil {
		s.Bucket.Close()
	}
	if s.Folder != nil {
		s.Folder.Close()
	}
}

// All returns the sources that are configured.
func (s Sources) All() (all []Source) {
	if s.Bucket != nil {
		all = append(all, s.Bucket)
	}
	if s.Folder != nil {
		all = append(all, s.Folder)
	}
	return all
}

// List returns them as cas.Files takes them.
func (s Sources) List() (list []cas.Source) {
	for _, one := range s.All() {
		list = append(list, one)
	}
	return list
}

// Statters returns them as importer.Survey takes them.
func (s Sources) Statters() (list []importer.Statter) {
	for _, one := range s.All() {
		list = append(list, one)
	}
	return list
}

// Check makes sure that each source answers.
func (s Sources) Check(ctx context.Context) error {
	for _, one := range s.All() {
		if err := one.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Names returns their names.
func (s Sources) Names() (names []string) {
	for _, one := range s.All() {
		names = append(names, one.Name())
	}
	return names
}
