package providers_test

import (
	"errors"
	"fmt"
	"testing"

	"casgate/cas"
	"casgate/providers"
)

func TestGatewayFault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		code string // empty: not the gateway's fault
	}{
		{cas.ErrObjectCorrupt, providers.CodeObjectCorrupt},
		{cas.ErrDigestMismatch, providers.CodeObjectCorrupt},
		{cas.ErrObjectMissing, providers.CodeObjectMissing},
		{cas.ErrBlobNotFound, providers.CodeBlobNotFound},
		{cas.ErrStoreUnavailable, providers.CodeStoreUnavailable},
		{cas.ErrIndexUnavailable, providers.CodeIndexUnavailable},
		{fmt.Errorf("upload: %w", &providers.Error{Kind: providers.KindTransient, Cause: cas.ErrIndexUnavailable}), providers.CodeIndexUnavailable},
		{&providers.Error{Kind: providers.KindUnknown}, ""},
		{errors.New("something else"), ""},
		{nil, ""},
	} {
		code, ok := providers.GatewayFault(test.err)
		if code != test.code || ok != (test.code != "") {
			t.Errorf("%v: got %q, %t; want %q", test.err, code, ok, test.code)
		}
	}
}
