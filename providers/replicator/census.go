package replicator

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/singleflight"

	"casgate/providers"
	"casgate/providers/ledger"
)

// Census counts the files in the list of an account.
type Census struct {
	At time.Time // when the list began
	// Ours are the files of this installation: those that a row names, and those with the
	// installation's mark. Others are all other files. The keys are purposes.
	Ours, Others map[string]FileCount
	// listed has the ids of all files. vanished counts, by purpose, the copies whose files
	// are not among them, although the provider must list them by now.
	listed   map[string]bool
	vanished map[string]FileCount
}

// lacks reports whether the list should have a copy's file, and doesn't.
func (c Census) lacks(row ledger.Copy, description providers.Description) bool {
	return !c.At.IsZero() && row.ReadyAt.Before(c.At) && !isUnlisted(description, row.Purpose) && !c.listed[row.FileID]
}

// FileCount is a number of files, and their size. A file without a size in the list
// counts as empty.
type FileCount struct {
	Files, Bytes int64
}

func (n FileCount) plus(o FileCount) FileCount {
	return FileCount{n.Files + o.Files, n.Bytes + o.Bytes}
}

// minus is the difference, and never negative.
func (n FileCount) minus(o FileCount) FileCount {
	return FileCount{max(n.Files-o.Files, 0), max(n.Bytes-o.Bytes, 0)}
}

// String returns the numbers for a message: "2 files with 3.0 MiB".
func (n FileCount) String() string {
	noun := "files"
	if n.Files == 1 {
		noun = "file"
	}
	return fmt.Sprintf("%d %s with %s", n.Files, noun, humanize.IBytes(uint64(max(n.Bytes, 0))))
}

// total sums the counts of a purpose, or of all purposes if it is empty.
func total(counts map[string]FileCount, purpose string) FileCount {
	var sum FileCount
	for name, n := range counts {
		if purpose == "" || name == purpose {
			sum = sum.plus(n)
		}
	}
	return sum
}

// InPurpose returns the numbers of a purpose, or of all purposes if it is empty.
func (c Census) InPurpose(purpose string) (ours, others FileCount) {
	return total(c.Ours, purpose), total(c.Others, purpose)
}

// censusLife is how long the numbers of a census count. All copies of an account share
// one census.
const censusLife = time.Minute

// censuses keeps the last census of each account.
type censuses struct {
	flights singleflight.Group

	mu   sync.Mutex
	last map[string]Census // by account
	// stuck has the pools that refused an upload although a copy had been evicted. The key
	// is the account and the purpose.
	stuck map[[2]string]stuckPool
	// limits has the limits of files that refusals have named, by account.
	limits map[string]toldLimit
	rooms  map[string]*room // by account
}

// stuckPool has the numbers of a pool that refused an upload.
type stuckPool struct{ all, others FileCount }

// toldLimit is a limit of files that a provider has named in a refusal.
type toldLimit struct {
	files int64
	at    time.Time
}

// limitLife is how long such a limit counts. Then the provider is asked again, since it
// may have raised the limit.
const limitLife = time.Hour

func newCensuses() *censuses {
	return &censuses{
		last: make(map[string]Census), stuck: make(map[[2]string]stuckPool),
		limits: make(map[string]toldLimit), rooms: make(map[string]*room),
	}
}

// limitOf returns the limit of files that the provider has named for an account, or 0.
func (s *censuses) limitOf(account string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.limits[account]; time.Since(l.at) < limitLife {
		return l.files
	}
	return 0
}

// noteLimit remembers the limit of files that a refusal names, if it does.
func (s *censuses) noteLimit(account string, refusal *providers.Error) {
	if refusal.MaxFiles <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits[account] = toldLimit{refusal.MaxFiles, time.Now()}
}

// room returns the room of an account.
func (s *censuses) room(account string) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[account] == nil {
		s.rooms[account] = newRoom()
	}
	return s.rooms[account]
}

// lastOf returns the last census of an account, however old. At is zero if there is none.
func (s *censuses) lastOf(account string) Census {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[account]
}

// recent returns the last census of an account if it still counts, and otherwise an
// empty one.
func (s *censuses) recent(account string) Census {
	if c := s.lastOf(account); time.Since(c.At) < censusLife {
		return c
	}
	return Census{}
}

func (s *censuses) set(account string, c Census) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[account] = c
}

// forget makes the next upload trust no number.
func (s *censuses) forget(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, account)
	delete(s.limits, account)
}

// isStuck reports whether a pool with these numbers is known to refuse uploads. If files
// of others have gone, that is not known.
func (s *censuses) isStuck(p pool, c Census) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	then, known := s.stuck[[2]string{p.account, p.purpose}]
	_, others := c.InPurpose(p.purpose)
	return known && !c.At.IsZero() && c.inPool(p).Files >= then.all.Files &&
		others.Files >= then.others.Files && others.Bytes >= then.others.Bytes
}

// clearStuck forgets that an account's pools refuse uploads: it has taken a file.
func (s *censuses) clearStuck(account, purpose string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stuck, [2]string{account, purpose})
	delete(s.stuck, [2]string{account, ""})
}

func (s *censuses) setStuck(p pool, c Census) {
	_, others := c.InPurpose(p.purpose)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck[[2]string{p.account, p.purpose}] = stuckPool{c.inPool(p), others}
}

// census returns a census of an account whose list began after a time, such as that of a
// refusal. If there is none, it reads the account's list; concurrent callers share that.
func (r *Replicator) census(ctx context.Context, p providers.Provider, after time.Time) (Census, error) {
	for {
		c := r.censuses.lastOf(p.Describe().Account)
		if c.At.IsZero() || c.At.Before(after) {
			var err error
			if c, err = r.joinCensus(ctx, p); err != nil {
				return Census{}, err
			}
		}
		if !c.At.Before(after) { // otherwise the list had begun before
			return c, nil
		}
	}
}

// joinCensus takes a census, or waits for the one that is being taken.
func (r *Replicator) joinCensus(ctx context.Context, p providers.Provider) (Census, error) {
	account := p.Describe().Account
	shared := r.censuses.flights.DoChan(account, func() (any, error) {
		c, err := r.takeCensus(r.working, p)
		if err == nil {
			r.censuses.set(account, c)
		}
		return c, err
	})
	select {
	case result := <-shared:
		return result.Val.(Census), result.Err
	case <-ctx.Done():
		return Census{}, ctx.Err()
	}
}

// takeCensus reads the list of an account, and the rows that name its files.
func (r *Replicator) takeCensus(ctx context.Context, p providers.Provider) (Census, error) {
	mark, err := r.installationMark(ctx)
	if err != nil {
		return Census{}, err
	}
	all, err := r.listAll(ctx, p)
	if err != nil {
		return Census{}, err
	}
	rows, err := r.allRowsAt(ctx, p.Describe().Provider)
	if err != nil {
		return Census{}, err
	}
	named := make(map[string]bool)
	for _, c := range rows {
		named[c.FileID] = true
	}
	census := count(p.Describe(), all.byID(), mark, named, all.began)
	census.countVanished(rows, p.Describe())
	return census, nil
}

// countVanished counts the copies whose files have vanished.
func (c *Census) countVanished(rows []ledger.Copy, description providers.Description) {
	c.vanished = make(map[string]FileCount)
	for _, row := range rows {
		if row.Account == description.Account && row.State == ledger.StateReady && c.lacks(row, description) && !row.IsFresh(c.At, description.SettlingOf(row.Purpose)) {
			c.vanished[row.Purpose] = c.vanished[row.Purpose].plus(FileCount{1, row.Size})
		}
	}
}

// count makes a census of files whose list began at a time. Named has the ids that rows
// name.
func count(description providers.Description, remote map[string]providers.RemoteFile, mark providers.Mark, named map[string]bool, at time.Time) Census {
	c := Census{At: at, Ours: make(map[string]FileCount), Others: make(map[string]FileCount), listed: make(map[string]bool, len(remote))}
	for id, f := range remote {
		c.listed[id] = true
		counts := c.Others
		if name, marked := description.ParseRemoteName(f.Name); named[id] || marked && name.Mark == mark {
			counts = c.Ours
		}
		counts[f.Purpose] = counts[f.Purpose].plus(FileCount{1, f.Size})
	}
	return c
}

// describe says for a message what fills a pool.
func (c Census) describe(purpose string) string {
	var b strings.Builder
	ours, others := c.InPurpose(purpose)
	fmt.Fprintf(&b, "the account holds %s of others and %s of this installation", others, ours)
	if purpose != "" {
		fmt.Fprintf(&b, ", under the purpose %s", purpose)
	}
	return b.String()
}

// rowsPage is how many rows one read returns.
const rowsPage = 500

// rowsAt yields all rows of a provider, of all accounts. An error comes last.
func (r *Replicator) rowsAt(ctx context.Context, provider string) iter.Seq2[ledger.Copy, error] {
	return func(yield func(ledger.Copy, error) bool) {
		var after ledger.Key
		for {
			page, err := r.ledger.CopiesAt(ctx, provider, after, rowsPage)
			if err != nil {
				yield(ledger.Copy{}, err)
				return
			}
			for _, c := range page {
				if !yield(c, nil) {
					return
				}
			}
			if len(page) < rowsPage {
				return
			}
			after = page[len(page)-1].Key
		}
	}
}
