package wiring

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/cas/folderstore"
	"casgate/cas/s3store"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
)

// ObjectStore is an open object store. The caller must close it.
type ObjectStore struct {
	cas.ObjectStore
	Close  func()
	S3     *s3store.Store     // if it is a bucket
	Folder *folderstore.Store // if it is a folder
	Text   string             // its name for logs
}

// ListedStore is an object store that lists its objects.
type ListedStore interface {
	cas.ObjectStore
	List(ctx context.Context) iter.Seq2[cas.ObjectInfo, error]
}

// Lister returns the store with its list of objects.
func (s ObjectStore) Lister() ListedStore {
	if s.S3 != nil {
		return s.S3
	}
	return s.Folder
}

// Batches returns what removes many objects together.
func (s ObjectStore) Batches() collector.BatchObjects {
	if s.S3 != nil {
		return s.S3
	}
	return s.Folder
}

// OpenExistingStore is OpenObjectStore, but makes no folder: without one, the data folder is probably the
// wrong one, or the store is a bucket.
func OpenExistingStore(c settings.ObjectStore, data settings.Data, log zerolog.Logger) (ObjectStore, error) {
	if isStoreMissing(c, data) {
		return ObjectStore{}, exit.Usagef("there are no objects in %s; check CAS_DATA_DIR, and CAS_S3_ENDPOINT if the object store is a bucket", data.DataDir)
	}
	return OpenObjectStore(c, data, log)
}

// OpenStoreToLook is OpenObjectStore for what changes nothing. In place of a folder that does not exist it
// opens an empty one elsewhere, which Close removes.
func OpenStoreToLook(c settings.ObjectStore, data settings.Data, log zerolog.Logger) (ObjectStore, error) {
	if !isStoreMissing(c, data) {
		return OpenObjectStore(c, data, log)
	}
	dir, err := os.MkdirTemp("", "casgate-")
	if err != nil {
		return ObjectStore{}, err
	}
	remove := func() { _ = os.RemoveAll(dir) } // the system removes it some day
	s, err := OpenObjectStore(c, settings.Data{DataDir: dir}, log)
	if err != nil {
		remove()
		return ObjectStore{}, err
	}
	closeStore := s.Close
	s.Close, s.Text = func() { closeStore(); remove() }, c.Describe(data)
	return s, nil
}

// isStoreMissing reports whether the object store is a folder that does not exist.
func isStoreMissing(c settings.ObjectStore, data settings.Data) bool {
	if !c.Embedded() {
		return false
	}
	_, err := os.Stat(data.Path(settings.ObjectsDir))
	return errors.Is(err, fs.ErrNotExist)
}

// OpenObjectStore opens the object store that the settings choose. It sends nothing. The
// log gets a line if a bucket's store lets requests wait too long.
func OpenObjectStore(c settings.ObjectStore, data settings.Data, log zerolog.Logger) (ObjectStore, error) {
	if !c.Embedded() {
		s, err := s3store.New(s3store.Options{
			Endpoint:     c.S3Endpoint,
			Bucket:       c.S3Bucket,
			Region:       c.S3Region,
			AccessKey:    c.S3AccessKey.Reveal(),
			SecretKey:    c.S3SecretKey.Reveal(),
			Timeout:      c.S3Timeout,
			SessionToken: c.S3SessionToken.Reveal(),
			Role:         c.S3Credentials == "iam",
			Prefix:       c.S3Prefix,
			Checksums:    s3store.ChecksumMode(c.S3Checksums),
			Log:          log,
		})
		if err != nil {
			return ObjectStore{}, exit.Usagef("%w (see CAS_S3_ENDPOINT, CAS_S3_BUCKET, CAS_S3_ACCESS_KEY and CAS_S3_SECRET_KEY)", err)
		}
		return ObjectStore{ObjectStore: s, Close: s.Close, S3: s, Text: c.Describe(data)}, nil
	}
	if c.S3Bucket != "" || c.S3AccessKey != "" || c.S3SecretKey != "" {
		return ObjectStore{}, exit.Usagef("there are settings for a bucket but no CAS_S3_ENDPOINT; set it, or unset the others to use the data folder")
	}
	if err := data.CreateFolder(); err != nil {
		return ObjectStore{}, err
	}
	if err := CheckOwner(data.Path(settings.ObjectsDir)); err != nil {
		return ObjectStore{}, err
	}
	s, err := folderstore.Open(data.Path(settings.ObjectsDir))
	if err != nil {
		return ObjectStore{}, err
	}
	return ObjectStore{ObjectStore: s, Close: func() { s.Close() }, Folder: s, Text: c.Describe(data)}, nil
}
