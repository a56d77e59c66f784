package importer

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"casgate/cas"
)

// defaultPatience is how long a server may be unavailable.
const defaultPatience = 30 * time.Second

// patiently repeats what fails because a server isn't there, for a while.
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

// isTransient reports whether an error lies with a server, and may be over soon.
func isTransient(err error) bool {
	return errors.Is(err, cas.ErrOriginUnavailable) || errors.Is(err, cas.ErrIndexUnavailable) ||
		errors.Is(err, cas.ErrStoreUnavailable) || errors.Is(err, cas.ErrUploadRaced)
}
