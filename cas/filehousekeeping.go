package cas

import (
	"context"
	"time"
)

const (
	// expireEvery is how often files that have expired are removed, and expireBatch how
	// many at a time; readFlush is how often the last reads are written.
	expireEvery = time.Minute
	expireBatch = 1000
	readFlush   = 30 * time.Second
)

// Run removes files that have expired and writes down when files were last read,
// until ctx is done; it returns ctx's error. Any number of processes may do so.
func (f *Files) Run(ctx context.Context) error {
	expire, flush := time.NewTicker(expireEvery), time.NewTicker(readFlush)
	defer expire.Stop()
	defer flush.Stop()
	f.expire(ctx)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
			defer cancel()
			f.flushReads(last)
			return ctx.Err()
		case <-expire.C:
			f.expire(ctx)
		case <-flush.C:
			f.flushReads(ctx)
		}
	}
}

func (f *Files) expire(ctx context.Context) {
	for {
		gone, err := f.ExpireFiles(ctx, expireBatch)
		if err != nil {
			if ctx.Err() == nil {
				f.log.Warn().Err(err).Msg("could not remove files that have expired; trying again")
			}
			return
		}
		for _, file := range gone {
			f.expired(file)
		}
		if len(gone) > 0 {
			f.log.Info().Int("files", len(gone)).Msg("removed files that have expired")
		}
		if len(gone) < expireBatch {
			return
		}
	}
}

// flushReads writes when files were last read. What can't be written is dropped: it
// is a hint.
func (f *Files) flushReads(ctx context.Context) {
	f.mu.Lock()
	read := f.read
	f.read = make(map[string]time.Time)
	f.mu.Unlock()
	if len(read) == 0 {
		return
	}
	if err := f.TouchFiles(ctx, read); err != nil {
		f.log.Warn().Err(err).Int("files", len(read)).Msg("could not write when files were last read")
	}
}
