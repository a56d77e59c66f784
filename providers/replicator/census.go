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
	At time.Time
	// Ours are the files of this installation: those that a row names, and those with the
	// installation's mark. Others are all other files. The keys are purposes.
	Ours, Others map[string]FileCount
}

// FileCount is a number of files, and their size. A file without a size in the list
// counts as empty.
type FileCount struct {
	Files, Bytes int64
}

func (n FileCount) plus(o FileCount) FileCount {
	return FileCount{n.Files + o.Files, n.Bytes + o.Bytes}
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
	// stuck has the pools that refused an upload although a copy had been evicted, and the
	// number of files that they had then. The key is the account and the purpose.
	stuck map[[2]string]int64
}

func newCensuses() *censuses {
	return &censuses{last: make(map[string]Census), stuck: make(map[[2]string]int64)}
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

// forget makes the next refusal take a new census.
func (s *censuses) forget(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, account)
}

// isStuck reports whether a pool with so many files is known to refuse uploads.
func (s *censuses) isStuck(p pool, c Census) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, known := s.stuck[[2]string{p.account, p.purpose}]
	return known && !c.At.IsZero() && c.inPool(p).Files >= files
}

// clearStuck forgets that an account's pools refuse uploads: it has taken a file.
func (s *censuses) clearStuck(account, purpose string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stuck, [2]string{account, purpose})
	delete(s.stuck, [2]string{account, ""})
}

func (s *censuses) setStuck(p pool, files int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck[[2]string{p.account, p.purpose}] = files
}

// census returns a recent census of an account. If there is none, it reads the account's
// list; concurrent callers share that.
func (r *Replicator) census(ctx context.Context, p providers.Provider) (Census, error) {
	account := p.Describe().Account
	if c := r.censuses.recent(account); !c.At.IsZero() {
		return c, nil
	}
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
	remote, err := listed(ctx, p)
	if err != nil {
		return Census{}, err
	}
	named := make(map[string]bool)
	for c, err := range r.rowsAt(ctx, p.Describe().Provider) {
		if err != nil {
			return Census{}, err
		}
		named[c.FileID] = true
	}
	return count(remote, mark, named), nil
}

// listed returns the files in the list of an account, by id.
func listed(ctx context.Context, p providers.Provider) (map[string]providers.RemoteFile, error) {
	files := make(map[string]providers.RemoteFile)
	for f, err := range p.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("list the files at %s: %w", p.Describe().Provider, err)
		}
		files[f.ID] = f
	}
	return files, nil
}

// count makes a census of listed files. Named has the ids that rows name.
func count(remote map[string]providers.RemoteFile, mark providers.Mark, named map[string]bool) Census {
	c := Census{At: time.Now(), Ours: make(map[string]FileCount), Others: make(map[string]FileCount)}
	for id, f := range remote {
		counts := c.Others
		if name, marked := providers.ParseRemoteName(f.Name); named[id] || marked && name.Mark == mark {
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
