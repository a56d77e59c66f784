package importer

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"casgate/cas"
)

// defaultPatience is the time for which an unavailable server is waited for.
const defaultPatience = 30 * time.Second

// patiently repeats do while a server is unavailable, for at most patience.
func patiently[T any](ctx context.Context, patience time.Duration, do func() (T, error)) (T, error) {
	if patience <= 0 {
		patience = defaultPatience
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 5*time.Second
	return backoff.Retry(ctx, func() (T, error) {
		result, err := do()
		if err != nil && !isTransient(err) {
			err = backoff.Permanent(err)
		}
		return result, err
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(patience))
}

// isTransient reports whether a server caused the error, and a retry may succeed.
func isTransient(err error) bool {
	if errors.Is(err, cas.ErrStoreRefused) {
		return false
	}
	return errors.Is(err, cas.ErrOriginUnavailable) || errors.Is(err, cas.ErrIndexUnavailable) ||
		errors.Is(err, cas.ErrStoreUnavailable) || errors.Is(err, cas.ErrUploadRaced)
}
