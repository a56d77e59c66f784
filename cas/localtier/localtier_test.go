package localtier_test

import (
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/folderstore"
	"casgate/cas/localtier"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
)

func newFolder(t testing.TB) *folderstore.Store {
	t.Helper()
	s, err := folderstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newTier opens a tier in front of a store, and closes it at the end of the test. By default it goes on
// with small fills that nobody reads.
func newTier(t testing.TB, inner cas.ObjectStore, o localtier.Options) *localtier.Tier {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.FillLimit == 0 {
		o.FillLimit = 64 << 20
	}
	s, err := localtier.New(inner, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestObjectStore(t *testing.T) {
	for name, size := range map[string]int64{"large": 1 << 30, "small": 10 << 20, "tiny": 1000} {
		t.Run(name, func(t *testing.T) {
			castest.RunObjectStore(t, func(t *testing.T) cas.ObjectStore {
				return newTier(t, newFolder(t), localtier.Options{Size: size})
			})
		})
	}
}

func TestObjectStoreBeforeABucket(t *testing.T) {
	castest.RunObjectStore(t, func(t *testing.T) cas.ObjectStore {
		bucket, err := s3store.New(s3test.NewBucket(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(bucket.Close)
		return newTier(t, bucket, localtier.Options{Size: 1 << 30})
	})
}
