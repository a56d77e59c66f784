package index

import (
	"encoding/json"
	"fmt"
	"strings"

	"casgate/providers"
	"casgate/providers/ledger"
)

// CheckWanted returns an error where the row of w can't be kept in any index: a
// clearer one than the database's, and one that does not call it unavailable.
func CheckWanted(w ledger.Wanted) error {
	if w.Size < 0 {
		return fmt.Errorf("copy %s: size %d must not be negative", w.Key, w.Size)
	}
	err := checkTexts(
		"provider", w.Provider, "account", w.Account, "purpose", w.Purpose, "extension", w.Extension,
		"name", w.Name, "media type", w.MediaType, "operation", w.OperationID)
	if err != nil {
		return fmt.Errorf("copy of %s: %w", w.Digest.Short(), err)
	}
	return nil
}

// CheckKey returns an error where no index can have a row of this key.
func CheckKey(k ledger.Key) error {
	return checkTexts("provider", k.Provider, "account", k.Account, "purpose", k.Purpose, "extension", k.Extension)
}

// CheckTextKey is CheckKey for extracted texts.
func CheckTextKey(k ledger.TextKey) error {
	return checkTexts("provider", k.Provider, "extension", k.Extension)
}

// CheckRemoteFile returns an error where a copy can't be completed with f.
func CheckRemoteFile(f providers.RemoteFile) error {
	if f.ID == "" {
		return fmt.Errorf("remote file %q has no id", f.Name)
	}
	if f.Status != providers.StatusReady && f.Status != providers.StatusProcessing {
		return fmt.Errorf("remote file %q is %q; a copy is completed with one that is ready or processing", f.ID, f.Status)
	}
	return checkTexts("id of the remote file", f.ID, "name of the remote file", f.Name)
}

// CheckFailure returns an error where a copy can't be left as f says.
func CheckFailure(f ledger.Failure) error {
	switch f.State {
	case ledger.StatePending, ledger.StateFailed, ledger.StateReady, ledger.StateDeleting:
		return nil
	}
	return fmt.Errorf("a failed attempt can't leave a copy %q", f.State)
}

// CheckFailedDelete is CheckFailure for deletes, which are tried until they succeed.
func CheckFailedDelete(f ledger.Failure) error {
	if f.State != "" && f.State != ledger.StateDeleting {
		return fmt.Errorf("a failed delete can't leave a copy %q", f.State)
	}
	return nil
}

// checkTexts checks pairs of a field and its value, see CheckText.
func checkTexts(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if err := CheckText(pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// EncodeError returns what an index keeps of a copy's error: JSON, or nil for
// none. What a provider says is not worth failing for, so what CheckText would
// refuse is replaced.
func EncodeError(e *providers.Error) (*string, error) {
	if e == nil {
		return nil, nil
	}
	kept := *e
	kept.Provider, kept.Op, kept.Kind = storable(e.Provider), storable(e.Op), storable(e.Kind)
	kept.Code, kept.Message, kept.Hint = storable(e.Code), storable(e.Message), storable(e.Hint)
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("encode the error of a copy: %w", err)
	}
	encoded := string(text)
	return &encoded, nil
}

// storable puts the replacement character where text isn't UTF-8, or is NUL.
func storable[T ~string](text T) T {
	return T(strings.ReplaceAll(strings.ToValidUTF8(string(text), "\ufffd"), "\x00", "\ufffd"))
}

// DecodeError is the inverse of EncodeError.
func DecodeError(text *string) (*providers.Error, error) {
	if text == nil {
		return nil, nil
	}
	e := new(providers.Error)
	if err := json.Unmarshal([]byte(*text), e); err != nil {
		return nil, fmt.Errorf("decode the error of a copy: %w", err)
	}
	return e, nil
}
