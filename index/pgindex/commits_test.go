package pgindex

import (
	"fmt"
	"testing"

	"casgate/cas"
)

// What a batch is made of: no blob twice, no more than the bound, nothing lost,
// and the order of arrival kept for each blob.
func TestCommitQueueBatches(t *testing.T) {
	var q commitQueue
	q.writers = maxCommitWriters // none is started: the test takes what they would
	digest := func(i int) cas.Digest { return cas.DigestOf(fmt.Append(nil, i)) }
	var added []*commit
	for i := range 3 * maxCommitBatch {
		c := &commit{blob: cas.Blob{Digest: digest(i % (2 * maxCommitBatch))}, id: int64(i)}
		added = append(added, c)
		q.add(c)
	}
	var taken []*commit
	last := map[cas.Digest]int64{}
	for batch := q.take(); batch != nil; batch = q.take() {
		seen := map[cas.Digest]bool{}
		for _, c := range batch {
			d := c.blob.Digest
			if seen[d] {
				t.Fatalf("blob %s is twice in a batch", d.Short())
			}
			seen[d] = true
			if before, ok := last[d]; ok && before > c.id {
				t.Fatalf("commit %d of a blob comes after commit %d", c.id, before)
			}
			last[d] = c.id
		}
		if len(batch) > maxCommitBatch {
			t.Fatalf("a batch of %d", len(batch))
		}
		taken = append(taken, batch...)
	}
	if len(taken) != len(added) {
		t.Errorf("%d of %d commits were taken", len(taken), len(added))
	}
	if q.writers != maxCommitWriters-1 {
		t.Errorf("%d writers are counted after one has ended", q.writers)
	}
}
