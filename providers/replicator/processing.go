package replicator

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// processingLimit limits how long a provider may process a file.
	processingLimit = 15 * time.Minute
	// The delays between two polls of a file in process.
	firstLook = 200 * time.Millisecond
	lastLook  = 5 * time.Second
)

// awaitReady polls the file of a row in process until it is ready or failed. While the
// file is fresh, a 404 means "not yet".
func (r *Replicator) awaitReady(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, error) {
	f := fileOf(c)
	poller, ok := providers.Ability[providers.Poller](j.provider)
	if !ok {
		f.Status = providers.StatusReady // there is no way to learn more
		return f, nil
	}
	began := time.Now()
	for delay := firstLook; ; delay = min(2*delay, lastLook) {
		if err := pause(ctx, delay/2+rand.N(delay)); err != nil {
			return f, err
		}
		now, err := poller.Poll(ctx, f.ID)
		switch kind := providers.KindOf(err); {
		case kind == providers.KindTransient, kind == providers.KindUnknown,
			kind == providers.KindLost && c.IsFresh(time.Now(), j.purpose.Settling()):
			if time.Since(began) > processingLimit || ctx.Err() != nil {
				return f, err
			}
		case err != nil:
			return f, err
		case now.Status == providers.StatusProcessing && time.Since(cmp.Or(c.UploadedAt, began)) > processingLimit:
			return f, &providers.Error{
				Provider: j.description.Provider, Op: providers.OpPoll, Kind: providers.KindPermanent, Code: providers.CodeTimeout,
				Message: fmt.Sprintf("the provider has not processed the file within %v; it is deleted there", processingLimit),
				Hint:    "ask again with retry=true; a smaller or simpler document may work",
			}
		case now.Status != providers.StatusProcessing:
			f.Status, f.Detail, f.Code = now.Status, now.Detail, now.Code
			return f, nil
		}
	}
}
