package s3store

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"casgate/cas"
)

// A store has no error code for a damaged object. MinIO answers "503 SlowDownRead" or
// "500 InternalError" when the bytes on its drive are wrong, and breaks the response off
// if it finds that too late. An overloaded store and a broken network look the same. So
// the Store compares: if the same object fails again while another object can be read,
// the object is damaged. The other object is a small one of the gateway's own, and a store
// may fail for all but that one. So no more than a few objects count as damaged if none of
// a client's is read in between.

const (
	// probeKey names the small object that is read for comparison.
	probeKey  = "casgate-probe/readable"
	probeText = "this object shows that the store can be read\n"
	// codeUnreadable is MinIO's code for an object that it can't read from enough drives.
	codeUnreadable = "SlowDownRead"
	// maxDoubts is how many objects count as damaged in doubtTime if no other object is read
	// meanwhile.
	maxDoubts = 5
	doubtTime = 5 * time.Minute
)

// doubts are the objects that the store failed to read since it has read another one.
type doubts struct {
	mu    sync.Mutex
	since map[cas.ObjectRef]time.Time
}

// add adds an object, and reports whether it may count as damaged.
func (d *doubts) add(ref cas.ObjectRef) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(d.since, func(_ cas.ObjectRef, since time.Time) bool { return now.Sub(since) >= doubtTime })
	if _, known := d.since[ref]; known {
		return true
	}
	if len(d.since) >= maxDoubts {
		return false
	}
	if d.since == nil {
		d.since = map[cas.ObjectRef]time.Time{}
	}
	d.since[ref] = now
	return true
}

// clear removes all objects: the store has read one.
func (d *doubts) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.since)
}

// openError wraps the error of a GET. minio-go has already repeated the request if that
// can help.
func (s *Store) openError(ctx context.Context, ref cas.ObjectRef, err error) error {
	if isAboutObject(err) && s.isReadable(ctx) {
		return s.unreadable(ref, err)
	}
	return s.wrap(ctx, "get", ref, err)
}

// unreadable returns the error for an object that the store can't read, though it can read
// the probe.
func (s *Store) unreadable(ref cas.ObjectRef, err error) error {
	if !s.doubts.add(ref) {
		return fmt.Errorf("%w: get %s at %s: the store can't read this object and %d others, and has read none since: %w", cas.ErrStoreUnavailable, ref.Key(), s.client.Endpoint, maxDoubts, err)
	}
	return fmt.Errorf("%w: get %s at %s: the store can't read this object, but can read another: %w", cas.ErrObjectCorrupt, ref.Key(), s.client.Endpoint, err)
}

// isAboutObject reports whether a response's error may be about one object. "SlowDown"
// and "ServiceUnavailable" are about the store's load.
func isAboutObject(err error) bool {
	response := minio.ToErrorResponse(err)
	return response.Code == codeUnreadable || response.StatusCode == http.StatusInternalServerError
}

// isReadable reports whether the store can read the probe. It writes the probe if there
// is none.
func (s *Store) isReadable(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := s.readProbe(ctx)
	if minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return err == nil
	}
	_, err = s.client.Client.PutObject(ctx, s.bucket, s.prefix+probeKey, strings.NewReader(probeText), int64(len(probeText)), s.putOptions(cas.DigestOf([]byte(probeText))))
	return err == nil && s.readProbe(ctx) == nil
}

func (s *Store) readProbe(ctx context.Context) error {
	body, _, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+probeKey, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}
