package main

import (
	"context"
	"fmt"

	"casgate/cas"
	"casgate/providers/simulator"
)

// checkCopies compares the ledger with the files at the providers, and with what clients
// were told.
func (c *campaign) checkCopies(ctx context.Context) error {
	rows, err := c.copyRows(ctx)
	if err != nil {
		return err
	}
	live, err := c.visibleBlobs(ctx)
	if err != nil {
		return err
	}
	for i, provider := range providerNames {
		files := c.accounts.controls[i].Files()
		for _, f := range compareCopies(provider, rows, files, live) {
			c.find(f)
		}
		c.set("remote files at "+provider, len(files))
		c.set("uploads to "+provider, c.accounts.controls[i].Uploads())
	}
	for _, f := range lostCopies(c.history, rows) {
		c.find(f)
	}
	return nil
}

// visibleBlobs returns the digests of all blobs that can be read.
func (c *campaign) visibleBlobs(ctx context.Context) (map[cas.Digest]bool, error) {
	rows, err := c.blobRows(ctx)
	live := map[cas.Digest]bool{}
	for _, r := range rows {
		live[r.ref().Digest] = true
	}
	return live, err
}

// compareCopies compares the rows of a provider with its files. Each blob has at most one
// file, which a row names, and each row that is ready has its file.
func compareCopies(provider string, rows []copyRow, files []simulator.RemoteFile, live map[cas.Digest]bool) (findings []finding) {
	byID := map[string]simulator.RemoteFile{}
	count := map[cas.Digest]int{}
	for _, f := range files {
		subject := f.Digest.String() + "@" + provider
		byID[f.ID] = f
		if count[f.Digest]++; count[f.Digest] > 1 {
			findings = append(findings, finding{"no duplicates", fmt.Sprintf("there are %d remote files", count[f.Digest]), subject})
		}
		if !live[f.Digest] {
			findings = append(findings, finding{"deleted", "the blob is gone, and remote file " + f.ID + " is not", subject})
		}
	}
	named := map[string]bool{}
	for _, r := range rows {
		if r.Provider != provider || r.State != "ready" {
			continue
		}
		named[r.FileID] = true
		if f, ok := byID[r.FileID]; !ok || f.Digest != cas.Digest(r.Digest) {
			findings = append(findings, finding{"copies", "the provider has no such file: " + r.String(), r.subject()})
		}
	}
	for id, f := range byID {
		if !named[id] {
			findings = append(findings, finding{"no unknown files", "no row names remote file " + id, f.Digest.String() + "@" + provider})
		}
	}
	return findings
}

// lostCopies returns a finding for each copy that was acknowledged as ready, was not
// deleted afterwards, not even with its blob, and is not ready.
func lostCopies(h *history, rows []copyRow) (findings []finding) {
	ready := map[string]bool{}
	for _, r := range rows {
		ready[r.subject()] = ready[r.subject()] || r.State == "ready"
	}
	for _, subject := range h.subjects() {
		if isCopy(subject) && !ready[subject] && wasKept(h, subject) {
			findings = append(findings, finding{"copies", "it was acknowledged as ready, never deleted, and is not ready", subject})
		}
	}
	return findings
}

// wasKept reports whether a copy was acknowledged, and no delete can have ended after that.
func wasKept(h *history, subject string) bool {
	var made event
	for _, e := range h.of(subject) {
		if e.action == actionEnsure && e.outcome == done && e.begin > made.begin {
			made = e
		}
	}
	if made.action == "" {
		return false
	}
	for _, e := range append(h.of(subject), h.of(blobOf(subject))...) {
		deletes := e.action == actionDelete || e.action == actionRemove
		if deletes && e.outcome != absent && (e.end > made.begin || e.outcome == unknown) {
			return false
		}
	}
	return true
}
