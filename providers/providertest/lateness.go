package providertest

import (
	"errors"
	"testing"
	"time"

	"casgate/providers"
	"casgate/providers/simulator"
)

// testDeniedDelete: the provider answers a delete with "deleted": false. The error has a
// code of its own, since the file may be there or not.
func testDeniedDelete(t *testing.T, r *run) {
	if r.NoPurposes {
		t.Skip("the provider's answers to deletes have no such field")
	}
	for _, denial := range []simulator.Denial{simulator.Stays, simulator.Goes} {
		f := r.mustUpload(t, r.listed())
		before := len(r.remote.Files())
		r.remote.Deny(1, denial)
		err := r.Delete(t.Context(), f.ID)
		r.wantError(t, err, providers.OpDelete, providers.KindLost)
		if e, ok := errors.AsType[*providers.Error](err); !ok || e.Code != providers.CodeNotDeleted {
			t.Errorf("the error is %v; want the code %s", err, providers.CodeNotDeleted)
		}
		if gone := len(r.remote.Files()) < before; gone != (denial == simulator.Goes) {
			t.Errorf("the file is gone: %v", gone)
		}
	}
}

// testLateFile: the provider doesn't show a new file yet. A list without the file is no
// error, and a 404 is KindLost. Nothing happens to the file.
func testLateFile(t *testing.T, r *run) {
	p := r.listed()
	r.remote.Delay(simulator.Lateness{List: time.Hour, Retrieve: time.Hour, Delete: time.Hour})
	f := r.mustUpload(t, p)
	for listed, err := range r.List(t.Context(), p.Name) {
		t.Errorf("listed: %+v, error %v", listed, err)
	}
	if err := r.Delete(t.Context(), f.ID); !(r.DeletesBlindly && err == nil) {
		r.wantError(t, err, providers.OpDelete, providers.KindLost)
	}
	if retriever, ok := providers.Ability[providers.Retriever](r.Provider); ok {
		_, err := retriever.Retrieve(t.Context(), f.ID)
		r.wantError(t, err, providers.OpRetrieve, providers.KindLost)
	}
	r.remote.Delay(simulator.Lateness{})
	var ids []string
	for listed, err := range r.List(t.Context(), p.Name) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, listed.ID)
	}
	if len(ids) != 1 || ids[0] != f.ID {
		t.Errorf("later %q are listed; want %q", ids, f.ID)
	}
	if err := r.Delete(t.Context(), f.ID); err != nil {
		t.Errorf("later: %v", err)
	}
}
