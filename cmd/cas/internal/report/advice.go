package report

import (
	"errors"
	"fmt"
	"slices"

	"casgate/cas"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway/client"
	"casgate/gateway/problem"
	"casgate/providers"
)

// Advise adds the next step to an error that a setting of the client can repair.
func Advise(err error) error {
	if e, ok := errors.AsType[*client.Error](err); ok && e.Anonymous && errors.Is(err, problem.Unauthenticated) {
		return fmt.Errorf("%w; no token was found: I looked at %s; `cas login URL` keeps one", err, settings.TokenPlaces())
	}
	if e, ok := errors.AsType[*client.Error](err); ok && e.TokenSource != "" && errors.Is(err, problem.Unauthenticated) {
		return fmt.Errorf("%w; the token comes from %s", err, e.TokenSource)
	}
	return err
}

// AdviseFile adds the next step to an error about a file.
func AdviseFile(err error) error {
	if errors.Is(err, cas.ErrFileNotFound) {
		return fmt.Errorf("%w; `cas file ls` lists the files", err)
	}
	return AdviseCopy(err)
}

// notSent are the provider codes of files that the gateway did not send at all.
var notSent = []string{providers.CodeUnknownPurpose, "unsupported_extension", "empty_file", "file_too_large", providers.CodeNotConfigured}

// AdviseCopy adds the next step to an error about a copy.
func AdviseCopy(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return Advise(err)
	}
	switch p := e.Problem; {
	case p.ProviderCode == "unsupported_extension":
		return fmt.Errorf("%w; --name gives it another name", err)
	case p.Code == problem.NoText:
		return err // another try finds none either
	case p.Code == problem.ProviderNotFound:
		return fmt.Errorf("%w; `cas providers` lists all", err)
	case p.Code == problem.CopyInProgress:
		return fmt.Errorf("%w; the gateway continues, and you can run the same command again later", err)
	case p.Code == problem.BlobNotFound:
		return fmt.Errorf("%w; `cas put` stores it", err)
	case p.Code == problem.FileNotFound:
		return fmt.Errorf("%w; `cas file ls` lists the files", err)
	case p.Provider != "" && !slices.Contains(notSent, p.ProviderCode) && p.ExitCode() == exit.Refused:
		return fmt.Errorf("%w; after you have fixed that, `cas sync --retry` tries again at once", err)
	}
	return Advise(err)
}
