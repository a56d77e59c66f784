package view

import (
	"strings"
	"time"

	"casgate/gateway/api"
	"casgate/providers"
	"casgate/providers/ledger"
)

// simulatedAccount is how the fingerprints of simulated accounts begin, see
// providers.Settings.
const simulatedAccount = "simulated-"

// Copy shapes a copy.
func Copy(c ledger.Copy) api.Copy {
	return api.Copy{
		Digest:         c.Digest,
		Provider:       c.Provider,
		Account:        c.Account,
		Purpose:        c.Purpose,
		Extension:      c.Extension,
		State:          string(c.State),
		ProviderFileID: c.FileID,
		Name:           c.Name,
		Size:           c.Size,
		CreatedAt:      c.CreatedAt.UTC(),
		ReadyAt:        OptionalTime(c.ReadyAt),
		LastUsedAt:     OptionalTime(c.LastUsedAt),
		ExpiresAt:      OptionalTime(c.ExpiresAt),
		NextAttemptAt:  OptionalTime(c.NextAttemptAt),
		Attempts:       c.Attempts,
		Error:          ProviderError(c.Error),
		OperationID:    c.OperationID,
		Simulated:      IsSimulated(&c),
	}
}

// IsSimulated reports whether a simulator made the copy.
func IsSimulated(c *ledger.Copy) bool { return strings.HasPrefix(c.Account, simulatedAccount) }

// Copies shapes copies. It never returns nil, which JSON would show as null.
func Copies(copies []ledger.Copy) []api.Copy {
	all := make([]api.Copy, len(copies))
	for i, c := range copies {
		all[i] = Copy(c)
	}
	return all
}

// OptionalTime returns the time in UTC, or nil for the zero time.
func OptionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// ProviderError shapes an error of a provider; nil stays nil.
func ProviderError(e *providers.Error) *api.ProviderError {
	if e == nil {
		return nil
	}
	return &api.ProviderError{Kind: string(e.Kind), Status: e.Status, Code: e.Code, Message: e.Message, Hint: e.Hint}
}
