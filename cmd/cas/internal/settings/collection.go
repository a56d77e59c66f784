package settings

import "time"

// Collection says when the bytes of deleted blobs are removed.
type Collection struct {
	GCGrace    time.Duration `name:"gc-grace" aliases:"grace" env:"CAS_GC_GRACE" default:"24h" help:"How long the bytes of a deleted blob stay. Until then an upload brings the blob back, and reads in progress go on."`
	GCMaxShare float64       `name:"gc-max-share" aliases:"max-share" env:"CAS_GC_MAX_SHARE" default:"50" help:"A collection that would remove a larger share of all blobs, in percent, and more than 1000, removes nothing. 0: no limit." placeholder:"PERCENT"`
	GCMaxBlobs int64         `name:"gc-max-blobs" aliases:"max-blobs" env:"CAS_GC_MAX_BLOBS" default:"0" help:"A collection that would remove more than this many blobs removes nothing. 0: no limit." placeholder:"N"`
	GCRate     float64       `name:"gc-rate" aliases:"rate" env:"CAS_GC_RATE" default:"0" help:"How many blobs to remove per second. 0: no limit." placeholder:"N"`
}

// Retention says which blobs are deleted without a request.
type Retention struct {
	RetainUnreferenced time.Duration `name:"retain-unreferenced" env:"CAS_RETAIN_UNREFERENCED" default:"0" help:"Delete a blob that had no files, no copies at providers and no reads (HEAD and 304 are none) for this time, such as 2160h. All gateways need the same value. 0: keep blobs until they are deleted."`
}
