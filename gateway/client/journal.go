package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"casgate/cas"
	"casgate/gateway/api"
)

// RecordOptions select records of the journal. The zero value of each field selects
// all.
type RecordOptions struct {
	Kind     string
	Actor    string
	Digest   *cas.Digest
	FileID   string
	Provider string
	Outcome  string
	Since    time.Time // inclusive
	Until    time.Time // exclusive
	// Limit is the number of records a request asks for; 0 leaves it to the gateway.
	Limit int
	// After is the Next of a page. It selects the records that are older than that page.
	After string
	// Following is the Newest of an earlier page. It selects the records added since.
	Following string
}

func (o RecordOptions) query() url.Values {
	q := url.Values{}
	setText(q, "kind", o.Kind)
	setText(q, "actor", o.Actor)
	if o.Digest != nil {
		q.Set("digest", o.Digest.String())
	}
	setText(q, "file", o.FileID)
	setText(q, "provider", o.Provider)
	setText(q, "outcome", o.Outcome)
	setTime(q, "since", o.Since)
	setTime(q, "until", o.Until)
	if o.Limit > 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	setText(q, "after", o.After)
	setText(q, "following", o.Following)
	return q
}

func setTime(q url.Values, name string, at time.Time) {
	if !at.IsZero() {
		q.Set(name, at.UTC().Format(time.RFC3339Nano))
	}
}

// Records returns a page of the journal, newest first.
func (c *Client) Records(ctx context.Context, o RecordOptions) (api.RecordPage, error) {
	var page api.RecordPage
	err := c.doJSON(ctx, &request{method: http.MethodGet, path: "/v1/operations", query: o.query(), mayRetry: always}, &page)
	return page, err
}

// NewRecords are the records that were added to the journal since a place in it.
type NewRecords struct {
	Records []api.Record // oldest first
	// Newest is the place for the next call.
	Newest string
	// Lost is the number of operations that the gateway could not record since it
	// started.
	Lost uint64
}

// RecordsSince returns all records after a place: the Newest of a page or of an
// earlier call. None is missing and none comes twice, however many there are. Only the
// filters of o are used. After an error, Newest is still the given place.
func (c *Client) RecordsSince(ctx context.Context, place string, o RecordOptions) (NewRecords, error) {
	o.After, o.Following, o.Limit = "", place, MaxRecords
	found := NewRecords{Newest: place}
	var records []api.Record
	newest := place
	for {
		page, err := c.Records(ctx, o)
		if err != nil {
			return found, err
		}
		if o.After == "" {
			newest, found.Lost = page.Newest, page.Lost
		}
		records = append(records, page.Operations...)
		if page.Next == "" {
			slices.Reverse(records)
			found.Records, found.Newest = records, newest
			return found, nil
		}
		if page.Next == o.After {
			return found, fmt.Errorf("%s sends the same page of operations again and again", c.base)
		}
		o.After = page.Next
	}
}

// MaxRecords is the largest page of records that a gateway sends.
const MaxRecords = 1000
