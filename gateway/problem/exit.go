package problem

import "casgate/providers"

// The exit codes of a command that meets a problem. Package exit of the command adds
// those of its own.
const (
	ExitFailure     = 1 // an error without a code of its own
	ExitUsage       = 2 // wrong flags, arguments or settings
	ExitNotFound    = 3 // no such blob, copy, provider, file or token
	ExitNotAllowed  = 4 // no token, a wrong token, or one without the scope
	ExitCorrupt     = 5 // the bytes don't have the digest
	ExitUnavailable = 6 // the gateway, the index, the store or a provider can't be reached now
	ExitRefused     = 8 // a provider refused: the file, because it is full, or the key
	ExitUnderWay    = 9 // started, and not finished yet; the gateway continues
)

// ExitCode returns the exit code of a command that got this answer.
func (d Details) ExitCode() int {
	r := rows[d.Code]
	switch {
	case d.ProviderCode == providers.CodeUnknownPurpose: // the purpose was given by a flag
		return ExitUsage
	case r.exitFinal != 0 && !d.Retryable:
		return r.exitFinal
	case r.exit != 0:
		return r.exit
	case d.Retryable:
		return ExitUnavailable
	}
	return ExitFailure
}

// ExitCode returns the exit code of a command that met an error of this code itself,
// without a gateway.
func (c Code) ExitCode() int { return c.Details("", "").ExitCode() }
