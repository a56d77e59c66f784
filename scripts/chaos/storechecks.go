package main

import (
	"context"
	"fmt"
	"time"

	"casgate/cas"
	"casgate/cas/s3store"
)

// settleLimit is how long work that goes on in the background may take.
const settleLimit = 90 * time.Second

// waitSettled waits until no blob waits for the collector, and no copy for its work. What
// still waits at the end is stuck.
func (c *campaign) waitSettled(ctx context.Context) error {
	for deadline := time.Now().Add(settleLimit); ; {
		blobs, err := c.blobRows(ctx)
		if err != nil {
			return err
		}
		copies, err := c.copyRows(ctx)
		if err != nil {
			return err
		}
		stuck := stuckWork(blobs, copies)
		if len(stuck) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			for _, f := range stuck {
				c.find(f)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stuckWork returns a finding for each row that waits for work.
func stuckWork(blobs []blobRow, copies []copyRow) (findings []finding) {
	for _, b := range blobs {
		if b.State == string(cas.StateCondemned) || b.State == string(cas.StateDeleting) {
			findings = append(findings, finding{"collected", "the blob stays " + b.State, b.ref().Digest.String()})
		}
	}
	for _, r := range copies {
		switch r.State {
		case "pending", "uploading", "processing", "deleting":
			findings = append(findings, finding{"no stuck lease", r.String(), r.subject()})
		}
	}
	return findings
}

// orphanAge is how old an object must be to count as an orphan. No upload is under way
// any more.
const orphanAge = "1s"

// checkStore collects what nothing refers to, and compares the bucket with the index.
func (c *campaign) checkStore(ctx context.Context) error {
	if _, err := c.command(ctx, "gc", "--orphans", "--orphan-age="+orphanAge, "--quiet"); err != nil {
		return err
	}
	if err := c.waitSettled(ctx); err != nil {
		return err
	}
	rows, err := c.blobRows(ctx)
	if err != nil {
		return err
	}
	objects, err := c.objects(ctx)
	if err != nil {
		return err
	}
	for _, f := range compareStore(rows, objects) {
		c.find(f)
	}
	c.set("objects at the end", len(objects))
	return nil
}

// compareStore compares the rows with the objects: each has the other.
func compareStore(rows []blobRow, objects map[cas.ObjectRef]bool) (findings []finding) {
	named := map[cas.ObjectRef]bool{}
	for _, r := range rows {
		named[r.ref()] = true
		switch {
		case r.State == string(cas.StateSuspect):
			findings = append(findings, finding{"whole", "the blob is suspect", r.ref().Digest.String()})
		case !objects[r.ref()]:
			findings = append(findings, finding{"durable", "the blob is " + r.State + ", and its object is missing", r.ref().Digest.String()})
		}
	}
	for ref := range objects {
		if !named[ref] {
			findings = append(findings, finding{"no orphans", "no row names object " + ref.Key(), ref.Digest.String()})
		}
	}
	return findings
}

// objects lists the bucket.
func (c *campaign) objects(ctx context.Context) (map[cas.ObjectRef]bool, error) {
	s, err := s3store.New(s3store.Options{Endpoint: "http://" + address(c.minio.port), Bucket: bucket, AccessKey: accessKey, SecretKey: secretKey})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	found := map[cas.ObjectRef]bool{}
	for info, err := range s.List(ctx) {
		if err != nil {
			return nil, err
		}
		found[info.ObjectRef] = true
	}
	return found, nil
}

// checkFiles looks for files that no client can have made, or that were made twice.
func (c *campaign) checkFiles(ctx context.Context) error {
	names, err := c.fileNames(ctx)
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for _, name := range names {
		if seen[name]++; seen[name] > 1 || !c.names[name] {
			c.find(finding{promise: "files", text: fmt.Sprintf("file %s is there %d times, and may be there: %t", name, seen[name], c.names[name])})
		}
	}
	return nil
}
