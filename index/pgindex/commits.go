package pgindex

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"casgate/cas"
	"casgate/index"
)

// On a conflict Postgres locks the row and evaluates the set clause against its
// newest version, so the verdict is about the row as it really is:
//
//	refresh  it is live, or condemned and rescued by this
//	repair   it is suspect, and this object is no older
//	renew    its object is or was being removed, and this one is another
//	leave    none of these, or a size that contradicts the row
//
// Only an insert, a repair and a renewal store their commit_id, which is how a
// caller knows what its commit did: Postgres before 18 doesn't return the old row.
//
// The rows are taken in the order of their digests, so that two statements with
// rows in common wait for each other and don't deadlock.
const sqlCommit = `
insert into blobs as b (digest, size, media_type, name, generation, state, commit_id)
select digest, size, media_type, name, generation, 'live', commit_id
from unnest($1::bytea[], $2::bigint[], $3::text[], $4::text[], $5::int[], $6::bigint[])
    as given (digest, size, media_type, name, generation, commit_id)
order by digest
on conflict (digest) do update set
    (size, media_type, name, generation, state, created_at, touched_at,
     condemned_at, deleting_at, verified_at, commit_id) = (
        select
            case when verdict in ('renew', 'repair') then excluded.size else b.size end,
            case verdict when 'renew' then excluded.media_type else b.media_type end,
            case when verdict = 'renew' or (verdict <> 'leave' and b.name = '') then excluded.name else b.name end,
            case when verdict in ('renew', 'repair') then excluded.generation else b.generation end,
            case verdict when 'leave' then b.state else 'live' end,
            case verdict when 'renew' then now() else b.created_at end,
            case verdict when 'leave' then b.touched_at else greatest(b.touched_at, now()) end,
            case verdict when 'leave' then b.condemned_at end,
            case verdict when 'leave' then b.deleting_at end,
            case when verdict in ('renew', 'repair') then null else b.verified_at end,
            case when verdict in ('renew', 'repair') then excluded.commit_id else b.commit_id end
        from (select case
            when b.state in ('deleting', 'gone') then
                case when excluded.generation > b.generation then 'renew' else 'leave' end
            when b.state = 'suspect' then
                case when excluded.generation >= b.generation then 'repair' else 'leave' end
            when b.size <> excluded.size then 'leave'
            else 'refresh'
        end as verdict) as judged
    )
returning digest, size, media_type, name, state, generation, created_at, commit_id`

// Commit implements cas.Index. Where b's size contradicts that of a live or
// condemned row, the row is left alone and returned: the caller has found a broken
// database.
func (x *Index) Commit(ctx context.Context, b cas.Blob) (row cas.Blob, created bool, err error) {
	if err := checkBlob(b); err != nil {
		return cas.Blob{}, false, err
	}
	if ctx.Err() != nil {
		return cas.Blob{}, false, blobFault(ctx, "commit", b.Digest, ctx.Err())
	}
	c := &commit{blob: b, id: int64(rand.Uint64()), done: make(chan struct{})}
	x.commits.add(c)
	select {
	case <-c.done:
	case <-ctx.Done():
		return cas.Blob{}, false, blobFault(ctx, "commit", b.Digest, ctx.Err())
	}
	if c.err != nil {
		return cas.Blob{}, false, blobFault(ctx, "commit", b.Digest, c.err)
	}
	return c.row, c.created, nil
}

// commit is one on its way. What comes of it may be read once done is closed.
type commit struct {
	blob    cas.Blob
	id      int64
	done    chan struct{}
	row     cas.Blob
	created bool
	err     error // the driver's own
}

// commitQueue gathers commits while others are written, and writes them together:
// one statement, one round trip and one flush of the log for all of them. A commit
// that is alone goes out at once. Under parallel uploads this halves what a commit
// costs the database and the gateway.
type commitQueue struct {
	write func([]*commit)

	mu      sync.Mutex
	waiting []*commit
	writers int
}

const (
	// maxCommitWriters is how many statements are under way at once. With two, one
	// can gather while the other waits for the disk.
	maxCommitWriters = 2
	// maxCommitBatch bounds how many commits share a statement, and its fate.
	maxCommitBatch = 64
)

func (q *commitQueue) add(c *commit) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
	if q.writers < maxCommitWriters {
		q.writers++
		go q.run()
	}
}

// run writes batch after batch until nothing waits.
func (q *commitQueue) run() {
	for {
		batch := q.take()
		if batch == nil {
			return
		}
		q.write(batch)
	}
}

// take removes the next batch from the queue; where there is none it takes the
// calling writer off the count. A statement can't touch a row twice, so the second
// commit of a blob waits for the next batch.
func (q *commitQueue) take() []*commit {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.writers--
		return nil
	}
	var batch, rest []*commit
	seen := map[cas.Digest]bool{}
	for _, c := range q.waiting {
		if len(batch) == maxCommitBatch || seen[c.blob.Digest] {
			rest = append(rest, c)
			continue
		}
		seen[c.blob.Digest] = true
		batch = append(batch, c)
	}
	q.waiting = rest
	return batch
}

// writeCommits writes a batch. It works for all of its callers, so it ends by its
// own time limit and not with any of them.
func (x *Index) writeCommits(batch []*commit) {
	err := x.tryCommits(batch)
	for _, c := range batch {
		if err == nil && c.row.State == "" {
			c.err = errors.New("the statement returned no row for it")
		} else {
			c.err = err
		}
		close(c.done)
	}
}

func (x *Index) tryCommits(batch []*commit) error {
	byDigest := make(map[cas.Digest]*commit, len(batch))
	digests, sizes, mediaTypes := make([][]byte, len(batch)), make([]int64, len(batch)), make([]string, len(batch))
	names, generations, ids := make([]string, len(batch)), make([]int32, len(batch)), make([]int64, len(batch))
	for i, c := range batch {
		byDigest[c.blob.Digest] = c
		digests[i], sizes[i], mediaTypes[i] = c.blob.Digest[:], c.blob.Size, c.blob.MediaType
		names[i], generations[i], ids[i] = c.blob.Name, c.blob.Generation, c.id
	}
	call, cancel := bounded(context.Background())
	defer cancel()
	rows, err := x.pool.Query(call, sqlCommit, digests, sizes, mediaTypes, names, generations, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		row, err := scanBlob(rows, &id)
		if err != nil {
			return err
		}
		c := byDigest[row.Digest]
		if c == nil {
			return fmt.Errorf("the statement returned a row of %s, which was not in it", row.Digest)
		}
		c.row, c.created = row, id == c.id
	}
	return rows.Err()
}

// checkBlob refuses what the database would refuse, with a clearer error and
// without calling it unavailable.
func checkBlob(b cas.Blob) error {
	if b.Size < 0 || b.Generation < 0 {
		return fmt.Errorf("commit blob %s: size %d and generation %d must not be negative", b.Digest.Short(), b.Size, b.Generation)
	}
	if err := index.CheckText("name", b.Name); err != nil {
		return fmt.Errorf("commit blob %s: %w", b.Digest.Short(), err)
	}
	if err := index.CheckText("media type", b.MediaType); err != nil {
		return fmt.Errorf("commit blob %s: %w", b.Digest.Short(), err)
	}
	return nil
}
