package index

import (
	"time"

	"casgate/cas"
)

// Through returns the last position of a query: beyond every row, if the query has none.
func Through(q cas.Query) cas.Cursor {
	if q.Through != (cas.Cursor{}) {
		return q.Through
	}
	last := cas.Cursor{CreatedAt: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
	for i := range last.Digest {
		last.Digest[i] = 0xff
	}
	return last
}
