package operationapi

import (
	"slices"
	"testing"
	"time"

	"casgate/gateway/api"
	"casgate/providers"
	"casgate/providers/ledger"
)

func TestRestingCopiesSayWhy(t *testing.T) {
	t.Parallel()
	refusal := &providers.Error{Kind: providers.KindPermanent, Code: "content_filter", RetryAfter: time.Hour}
	for _, state := range []ledger.State{
		ledger.StatePending, ledger.StateUploading, ledger.StateProcessing, ledger.StateReady, ledger.StateFailed,
		ledger.StateLost, ledger.StateEvicted, ledger.StateDeleting, ledger.StateDeleted,
	} {
		o := showOperation("id", ledger.Copy{State: state, Error: refusal})
		if !slices.Contains([]string{api.OperationPending, api.OperationRunning, api.OperationSucceeded, api.OperationFailed}, o.Status) {
			t.Errorf("%s: %+v", state, o)
		}
		if hasError := o.Status != api.OperationSucceeded; hasError != (o.Error != nil) {
			t.Errorf("%s: %s with the error %+v", state, o.Status, o.Error)
		}
	}
}
