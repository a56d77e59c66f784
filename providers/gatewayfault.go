package providers

import (
	"errors"

	"casgate/cas"
)

// gatewayFaults are the errors of the gateway's own store and index, with their
// codes.
var gatewayFaults = []struct {
	err  error
	code string
}{
	{cas.ErrObjectCorrupt, CodeObjectCorrupt}, // before ErrDigestMismatch, which it wraps
	{cas.ErrDigestMismatch, CodeObjectCorrupt},
	{cas.ErrObjectMissing, CodeObjectMissing},
	{cas.ErrBlobNotFound, CodeBlobNotFound},
	{cas.ErrStoreUnavailable, CodeStoreUnavailable},
	{cas.ErrIndexUnavailable, CodeIndexUnavailable},
}

// GatewayFault reports whether an error is the gateway's own: it could not read the
// blob's bytes, or its index did not answer. The provider has then done nothing wrong,
// and an upload that failed with the error left no remote file. The code says which
// fault it is.
func GatewayFault(err error) (code string, ok bool) {
	for _, fault := range gatewayFaults {
		if errors.Is(err, fault.err) {
			return fault.code, true
		}
	}
	return "", false
}
