package providerapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers"
	"casgate/providers/replicator"
)

// Reconcile answers POST /v1/providers/{provider}/reconcile.
func (h *Handlers) Reconcile(c echo.Context) error {
	name, err := request.PathParam(c, "provider")
	if err != nil {
		return err
	}
	apply, err := request.Bool(c, "apply")
	if err != nil {
		return err
	}
	report, err := h.Copies.Reconcile(c.Request().Context(), name, replicator.ReconcileOptions{Apply: apply})
	if err != nil {
		return err
	}
	answer := api.Reconciliation{
		Provider:  report.Provider,
		Account:   report.Account,
		Applied:   report.Applied,
		Remote:    report.Remote,
		Rows:      report.Rows,
		Unknown:   remoteFiles(report.Unknown),
		Others:    api.OthersFiles{Files: report.Others.Files, Bytes: report.Others.Bytes, Examples: remoteFiles(report.Others.Examples)},
		Gone:      view.Copies(report.Gone),
		Deletes:   view.Copies(report.Deletes),
		Misplaced: view.Copies(report.Misplaced),
		Elsewhere: view.Copies(report.Elsewhere),
		Foreign:   report.Foreign,
	}
	for _, err := range report.Failures {
		h.Log.Warn().Err(err).Str("operation_id", request.OperationID(c)).Str("provider", name).Msg("a reconciliation could not repair everything")
		answer.Failures = append(answer.Failures, problem.Of(err, request.OperationID(c)).Detail)
	}
	return respond.JSON(c, http.StatusOK, answer)
}

// remoteFiles shapes files of a provider's list.
func remoteFiles(files []providers.RemoteFile) []api.RemoteFile {
	shown := make([]api.RemoteFile, len(files))
	for i, f := range files {
		shown[i] = api.RemoteFile{ID: f.ID, Name: f.Name, Size: f.Size, Purpose: f.Purpose, CreatedAt: view.OptionalTime(f.CreatedAt)}
	}
	return shown
}
