package cas

import (
	"context"
	"time"
)

const (
	// expireEvery is the interval between removals of expired files, and expireBatch the
	// number of files in one removal. readFlush is the interval at which the times of the
	// last reads are written.
	expireEvery = time.Minute
	expireBatch = 1000
	readFlush   = 30 * time.Second
)

// Run removes expired files and records when files were last read, until ctx is done.
// It returns ctx's error. Any number of processes may run it.
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
				f.log.Warn().Err(err).Msg("could not remove expired files; trying again")
			}
			return
		}
		for _, file := range gone {
			if file.Condemned {
				f.store.forget(file.Digest)
				f.condemned(ctx, file.File)
			}
			f.expired(file.File)
		}
		if len(gone) > 0 {
			f.log.Info().Int("files", len(gone)).Msg("removed expired files")
		}
		if len(gone) < expireBatch {
			return
		}
	}
}

// flushReads records when files were last read. If that fails, the times are dropped:
// they are a hint.
func (f *Files) flushReads(ctx context.Context) {
	f.mu.Lock()
	read := f.read
	f.read = make(map[string]time.Time)
	f.mu.Unlock()
	if len(read) == 0 {
		return
	}
	if err := f.TouchFiles(ctx, read); err != nil {
		f.log.Warn().Err(err).Int("files", len(read)).Msg("could not record when files were last read")
	}
}
