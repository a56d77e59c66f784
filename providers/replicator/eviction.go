package replicator

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"casgate/providers"
	"casgate/providers/ledger"
)

// pool is a part of an account with a limit of its own: the files of a purpose, or all.
type pool struct {
	account string
	// purpose is empty if the pool is the whole account.
	purpose            string
	maxFiles, maxBytes int64 // 0: no known limit
	// told: the provider itself has named maxFiles in a refusal.
	told bool
	// ours are the files that the ledger counts, with the one to be uploaded, and with
	// uploads of this process that have a place. elsewhere are uploads of other gateways,
	// which may have a place or wait for one. others are the files of others in the recent
	// census.
	ours, elsewhere, others FileCount
}

func over(n, limit int64) bool { return limit > 0 && n > limit }

func (p pool) isLimited() bool { return p.maxFiles > 0 || p.maxBytes > 0 }

// isFull reports whether the pool has no room, as far as is known.
func (p pool) isFull() bool { return !p.fitsWithout(nil) }

// fitsWithout reports whether the file fits if these copies are gone.
func (p pool) fitsWithout(victims []ledger.Copy) bool {
	sum := p.ours.plus(p.elsewhere).plus(p.others)
	for _, c := range victims {
		sum = sum.plus(FileCount{-1, -c.Size})
	}
	return !over(sum.Files, p.maxFiles) && !over(sum.Bytes, p.maxBytes)
}

// withoutElsewhere is the pool if all uploads of other gateways wait for a place.
func (p pool) withoutElsewhere() pool {
	p.elsewhere = FileCount{}
	return p
}

// fitsAlone reports whether a file would fit if all our other files were gone.
func (p pool) fitsAlone(size int64) bool {
	return !over(p.others.Files+1, p.maxFiles) && !over(p.others.Bytes+size, p.maxBytes)
}

// pools returns the pools that a copy belongs to: that of its purpose, and the account.
func (r *Replicator) pools(ctx context.Context, j job) (purpose, account pool, err error) {
	done, err := r.censuses.room(j.description.Account).count(ctx)
	if err != nil {
		return purpose, account, err
	}
	defer done()
	return r.countPools(ctx, j)
}

// reserve gives an upload its place, if there is room. Otherwise it returns the pool that
// is full.
func (r *Replicator) reserve(ctx context.Context, j job) (full pool, reserved bool, err error) {
	done, err := r.censuses.room(j.description.Account).count(ctx)
	if err != nil {
		return pool{}, false, err
	}
	defer done()
	purpose, account, err := r.countPools(ctx, j)
	switch {
	case err != nil:
		return pool{}, false, err
	case purpose.isFull():
		return purpose, false, nil
	case account.isFull():
		return account, false, nil
	}
	j.place.reserve(true)
	return pool{}, true, nil
}

// countPools is pools for a caller that keeps uploads from beginning and ending. An upload
// of this process that waits for a place counts only for itself.
func (r *Replicator) countPools(ctx context.Context, j job) (purpose, account pool, err error) {
	d := j.description
	purpose = pool{account: d.Account, purpose: j.purpose.Name, maxFiles: j.purpose.MaxFiles, maxBytes: j.purpose.MaxBytes}
	account = pool{account: d.Account, maxFiles: d.MaxFiles, maxBytes: d.MaxBytes}
	usage, err := r.ledger.CopyUsage(ctx, d.Account)
	if err != nil {
		return purpose, account, err
	}
	recent, here := r.censuses.recent(d.Account), r.censuses.room(d.Account).occupied(j.place)
	for _, u := range usage {
		uploading := FileCount{u.UploadingFiles, u.UploadingBytes}
		stored := FileCount{u.Files, u.Bytes}.minus(uploading).minus(recent.vanished[u.Purpose])
		elsewhere := uploading.minus(here.claimed[u.Purpose])
		account.ours, account.elsewhere = account.ours.plus(stored), account.elsewhere.plus(elsewhere)
		if u.Purpose == j.purpose.Name {
			purpose.ours, purpose.elsewhere = stored, elsewhere
		}
	}
	purpose.ours = purpose.ours.plus(here.reserved[j.purpose.Name])
	account.ours = account.ours.plus(total(here.reserved, ""))
	if told := r.censuses.limitOf(d.Account); told > 0 {
		account.maxFiles, account.told = told, true
	}
	purpose.others, account.others = total(recent.Others, j.purpose.Name), total(recent.Others, "")
	return purpose, account, nil
}

// makeRoom makes room for the claimed copy, and reserves its place: first by the deletes
// that have begun, then by evictions, which it reports. A recent census counts the files of
// others. If they alone leave no room, or if there are not enough copies to evict, it
// evicts nothing. The refusal is the provider's, or nil if nothing was sent yet.
func (r *Replicator) makeRoom(ctx context.Context, j job, refusal *providers.Error) (evicted bool, err error) {
	if j.description.MaxFiles == 0 && j.description.MaxBytes == 0 && j.purpose.MaxFiles == 0 && j.purpose.MaxBytes == 0 && r.censuses.limitOf(j.description.Account) == 0 {
		j.place.reserve(true)
		return false, nil
	}
	for making := false; ; {
		full, reserved, err := r.reserve(ctx, j)
		if err != nil || reserved {
			return evicted, err
		}
		if !full.fitsAlone(j.wanted.Size) {
			// The row may be older than a limit that the file alone exceeds.
			if err := j.description.Check(j.purpose, j.wanted.Extension, j.wanted.Size); err != nil {
				return evicted, err
			}
			return evicted, r.accountFull(j, full, refusal)
		}
		if !making { // one at a time: otherwise several evict a copy for the same place
			done, err := r.censuses.room(full.account).make(ctx)
			if err != nil {
				return evicted, err
			}
			defer done()
			making = true
			continue
		}
		begun, err := r.finishDeletes(ctx, j, full)
		if err != nil {
			return evicted, err
		}
		if begun.ended {
			continue // then the numbers have changed
		}
		// A delete that ended after the count was not among the begun ones. Its place is free.
		counted := full
		if full, reserved, err = r.reserve(ctx, j); err != nil || reserved {
			return evicted, err
		}
		if full != counted {
			continue
		}
		fits := []func([]ledger.Copy) bool{full.fitsWithout}
		if !r.o.NoEviction {
			// Uploads of other gateways may wait for a place, too. If there are not enough copies
			// for all, the provider decides which of them gets one.
			fits = append(fits, full.withoutElsewhere().fitsWithout)
		}
		victims, enough, err := r.victims(ctx, j, full.purpose, false, fits...)
		if err != nil {
			return evicted, err
		}
		if !enough {
			return evicted, cmp.Or(begun.passedOver, error(r.noneToEvict(j, full, refusal)))
		}
		if len(victims) == 0 {
			j.place.reserve(true)
			return evicted, nil
		}
		for _, victim := range victims {
			gone, err := r.evict(ctx, j, victim)
			if err != nil {
				return evicted, err
			}
			if !gone {
				break // then the numbers have changed
			}
			evicted = true
		}
	}
}

// shortage is what an upload knows of an account that has refused it.
type shortage struct {
	refusal *providers.Error
	refused time.Time // when
	// alone is the time since which no other upload to the account has run.
	alone time.Time
	// before has the numbers with which makeRoomAfter decided. Evicted: it has evicted a
	// copy. Otherwise it has relied on a place that had become free in another way.
	before  Census
	evicted bool
	relied  bool
}

// isFreed reports whether the upload has evicted a copy by numbers that count: those of a
// time when it was alone, or none.
func (s shortage) isFreed() bool {
	return s.evicted && (s.before.At.IsZero() || !s.before.At.Before(s.alone))
}

// makeRoomAfter makes room after the provider has refused an upload because the account
// is full. It returns an error if another upload would be in vain. The account may have
// files that the ledger doesn't know, so the list is counted first, if it was not counted
// since the refusal. If a known limit is reached, makeRoom evicts as many copies as are
// needed. Otherwise one is evicted: then one more upload shows whether that helps. Nothing
// is evicted for the first refusal if a place has become free since: that of a deleted file
// which the list still had, or one within the limit that the refusal names.
func (r *Replicator) makeRoomAfter(ctx context.Context, j job, s *shortage) error {
	census, waited, err := r.censusAfterDeletes(ctx, j, s.refused)
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", j.wanted.OperationID).Stringer("copy", j.wanted.Key).Msg("the account is full, and its files could not be counted")
		if ctx.Err() != nil {
			return err
		}
	}
	s.before = census
	purpose, account, err := r.pools(ctx, j)
	if err != nil {
		return err
	}
	limited, relied := limitedPool(purpose, account), s.relied
	s.relied = true
	switch {
	case purpose.isFull() || account.isFull():
		s.evicted, err = r.makeRoom(ctx, j, s.refusal)
	case waited && !relied: // the place of a deleted file is free now
	case !relied && limited.told && !census.At.IsZero() && (census.At.Before(s.alone) || census.inPool(limited).Files < limited.maxFiles): // another caller has made room for this one, too
	default:
		s.evicted, err = r.evictOne(ctx, j, limited, s)
	}
	return err
}

// evictOne evicts one copy of the pool, and reports whether it did: it evicts none if a
// delete that had begun has ended now. The error says that the account is full if there is
// none to evict, or if evictions are known not to help.
func (r *Replicator) evictOne(ctx context.Context, j job, full pool, s *shortage) (evicted bool, err error) {
	begun, err := r.finishDeletes(ctx, j, full)
	if err != nil || begun.ended {
		return false, err
	}
	if r.censuses.isStuck(full, s.before) {
		return false, r.accountFull(j, full, s.refusal)
	}
	for {
		victims, enough, err := r.victims(ctx, j, full.purpose, true, func(victims []ledger.Copy) bool { return len(victims) > 0 })
		if err != nil {
			return false, err
		}
		if !enough {
			return false, cmp.Or(begun.passedOver, error(r.noneToEvict(j, full, s.refusal)))
		}
		if evicted, err := r.evict(ctx, j, victims[0]); err != nil || evicted {
			return evicted, err
		}
	}
}

// stayedFull returns the error of an upload that was refused although there was room, or
// copies were evicted. Now has the numbers after the refusal, if the files could be
// counted. If the account has fewer files than before the evictions, evictions don't help,
// and stayedFull remembers that, so that later refusals evict nothing. Otherwise a client
// outside of this process has taken the place.
func (r *Replicator) stayedFull(ctx context.Context, j job, s shortage, now Census) error {
	purpose, account, err := r.pools(ctx, j)
	if err != nil {
		return err
	}
	limited := limitedPool(purpose, account)
	before := s.before
	fewer := now.inPool(limited).Files < before.inPool(limited).Files && now.inPool(account).Files < before.inPool(account).Files
	if s.evicted && !now.At.IsZero() && fewer && !limited.isFull() {
		r.censuses.setStuck(limited, now)
	}
	return r.accountFull(j, limited, s.refusal)
}

// limitedPool returns the pool that a provider means which says that the account is full.
// Only the purpose's if there is any doubt: then no copies of other purposes go.
func limitedPool(purpose, account pool) pool {
	switch {
	case purpose.isFull():
		return purpose
	case account.isFull(), account.isLimited() && !purpose.isLimited():
		return account
	}
	return purpose
}

// inPool returns the number of files in a pool.
func (c Census) inPool(p pool) FileCount {
	return total(c.Ours, p.purpose).plus(total(c.Others, p.purpose))
}

// accountFull returns the error of a copy for which an account has no room. It says what
// fills the account, as far as is known. The refusal is the provider's, or nil if nothing
// was sent.
func (r *Replicator) accountFull(j job, full pool, refusal *providers.Error) *providers.Error {
	e := &providers.Error{
		Provider: j.description.Provider, Op: providers.OpCheck, Kind: providers.KindQuota, TooMany: true, Code: providers.CodeAccountFull,
	}
	said := ""
	if refusal != nil {
		e.Op, e.Status, e.RetryAfter, e.Cause = refusal.Op, refusal.Status, refusal.RetryAfter, refusal
		said = refusal.Message
	}
	census := r.censuses.recent(full.account)
	if census.At.IsZero() {
		e.Message = fmt.Sprintf("the account is full: the ledger counts %s, this one included", full.ours.plus(full.elsewhere))
	} else {
		e.Message = "the account is full: " + census.describe(full.purpose)
	}
	if refusal != nil && refusal.MaxFiles > 0 {
		full.maxFiles = refusal.MaxFiles
	}
	if limits := full.limits(); limits != "" {
		e.Message += "; it takes " + limits
	}
	if said != "" {
		e.Message += "; " + j.description.Provider + " says: " + said
	}
	switch {
	case r.o.NoEviction:
		e.Hint = "delete copies there (cas copies rm), or let the gateway remove those used least recently (CAS_COPY_EVICTION=lru)"
	case !census.At.IsZero() && total(census.Others, full.purpose).Files > 0:
		e.Hint = "delete files of others there, or use an account of its own; cas copies reconcile counts them"
	default:
		e.Hint = tryLater
	}
	return e
}

// tryLater is the advice where the copies of this installation alone have to wait.
const tryLater = "all other copies of this installation there are in use by uploads or deletes, were handed out a moment ago, or are too young to be removed; try again later"

// noneToEvict is accountFull where a copy less would make room, and none can go now. The
// files of others are to blame only if this installation has none there.
func (r *Replicator) noneToEvict(j job, full pool, refusal *providers.Error) *providers.Error {
	e := r.accountFull(j, full, refusal)
	if ours, _ := r.censuses.recent(full.account).InPurpose(full.purpose); ours.Files > 0 && !r.o.NoEviction {
		e.Hint = tryLater
	}
	return e
}

// limits returns the known limits for a message.
func (p pool) limits() string {
	var parts []string
	if p.maxFiles > 0 {
		parts = append(parts, fmt.Sprintf("%d files", p.maxFiles))
	}
	if p.maxBytes > 0 {
		parts = append(parts, humanize.IBytes(uint64(p.maxBytes)))
	}
	return strings.Join(parts, " and ")
}
