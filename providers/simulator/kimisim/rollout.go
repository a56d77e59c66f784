package kimisim

import "sync/atomic"

// rollout says which requests meet a server that already wants its new header.
type rollout struct {
	every int
	seen  atomic.Int64
}

func (r *rollout) strikes() bool {
	return r.every > 0 && r.seen.Add(1)%int64(r.every) == 0
}
