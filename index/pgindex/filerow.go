package pgindex

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"casgate/cas"
)

// aliveFile is the condition that the row "f" has not expired.
const aliveFile = `(f.expires_at is null or f.expires_at > now())`

// fileFault is fault for an operation on one file. It turns "no row" into
// cas.ErrFileNotFound.
func fileFault(ctx context.Context, doing, id string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return noFile(doing, id)
	}
	return fault(ctx, doing+" file "+id, err)
}

// noFile returns the error for a file that doesn't exist.
func noFile(doing, id string) error {
	return fmt.Errorf("%s file %.100q: %w", doing, id, cas.ErrFileNotFound)
}
