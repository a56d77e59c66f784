package wiring

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas/reindexer"
)

// Orphans makes what adopts objects that no row names. It starts nothing.
func Orphans(x Index, objects ObjectStore, every time.Duration, log zerolog.Logger) reindexer.Background {
	return reindexer.Background{
		Options:    reindexer.Options{Objects: objects.Lister(), Index: x, Concurrency: 1, MinAge: min(reindexer.OrphanAge, every), Remove: objects.Delete},
		Every:      every,
		CheckStore: func(ctx context.Context) error { return hasMarkOf(ctx, x, objects) },
		Log:        log,
	}
}
