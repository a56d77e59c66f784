package replicator

import (
	"cmp"
	"context"
	"time"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/ledger"
)

// job is a planned request.
type job struct {
	provider    providers.Guarded
	description providers.Description
	purpose     providers.Purpose
	fileType    providers.FileType // zero in the queue
	blob        cas.Blob
	wanted      ledger.Wanted
	request     Request   // zero in the queue
	asked       time.Time // before the caller saw whether there is a copy
	place       *place    // in the account, once the row is claimed
}

// plan turns a request into a job. It calls the index only, and no provider.
func (r *Replicator) plan(ctx context.Context, q Request) (job, error) {
	p, err := r.account(q.Provider)
	if err != nil {
		return job{}, err
	}
	blob, err := r.blobs.Blob(ctx, q.Digest)
	if err != nil {
		return job{}, err
	}
	return r.planOf(p, blob, q)
}

// planOf is plan for a blob that is known.
func (r *Replicator) planOf(p providers.Guarded, blob cas.Blob, q Request) (job, error) {
	description := p.Describe()
	placed, err := r.placements.of(description, placementKey{q.Provider, cmp.Or(q.Name, blob.Name), q.MediaType, blob.MediaType, q.Purpose})
	if err != nil {
		return job{}, err
	}
	return job{
		provider: p, description: description, purpose: placed.Purpose, fileType: placed.fileType, blob: blob, request: q, asked: time.Now(),
		wanted: ledger.Wanted{
			Key: ledger.Key{
				Digest: q.Digest, Provider: q.Provider, Account: description.Account,
				Purpose: placed.Purpose.Name, Extension: placed.Extension,
			},
			Name: placed.name, MediaType: placed.fileType.MediaType, Size: blob.Size,
			OperationID: q.OperationID, Margin: ledger.RenewalMargin(placed.Purpose.Lifetime()), ByLife: true, Retry: q.Retry,
		},
	}, nil
}

// again is the plan for the blob and the provider of a job, and another request. It is made
// anew only if the purpose differs.
func (r *Replicator) again(j job, q Request) (job, error) {
	if q.Purpose != j.purpose.Name {
		return r.planOf(j.provider, j.blob, q)
	}
	j.request, j.asked = q, time.Now()
	return j, nil
}

// usable reports whether a copy is ready and has not expired.
func usable(c ledger.Copy) bool { return ledger.Wanted{}.Accepts(c, time.Now()) }
