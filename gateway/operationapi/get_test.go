package operationapi

import (
	"slices"
	"testing"
	"time"

	"casgate/gateway/api"
	"casgate/providers"
)

func TestRestingCopiesSayWhy(t *testing.T) {
	t.Parallel()
	refusal := &providers.Error{Kind: providers.KindPermanent, Code: "content_filter", RetryAfter: time.Hour}
	for _, state := range []providers.State{
		providers.StatePending, providers.StateUploading, providers.StateProcessing, providers.StateReady, providers.StateFailed,
		providers.StateLost, providers.StateEvicted, providers.StateDeleting, providers.StateDeleted,
	} {
		o := showOperation("id", providers.Copy{State: state, Error: refusal})
		if !slices.Contains([]string{api.OperationPending, api.OperationRunning, api.OperationSucceeded, api.OperationFailed}, o.Status) {
			t.Errorf("%s: %+v", state, o)
		}
		if hasError := o.Status != api.OperationSucceeded; hasError != (o.Error != nil) {
			t.Errorf("%s: %s with the error %+v", state, o.Status, o.Error)
		}
	}
}
