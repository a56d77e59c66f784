package deleteapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/gateway/api"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/gateway/respond"
	"casgate/gateway/view"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// To delete everywhere is to delete a file or a blob with all its copies at
// providers. The order of the steps makes it safe to interrupt and to repeat:
//
//  1. Existing copies are marked in the ledger. From then on they are deleted, whatever
//     happens.
//  2. The file goes and its blob is condemned, in one step. Until then the request can
//     be repeated with the same id. After it the blob can't be found, and no further
//     copy begins.
//  3. Copies that began in between are marked.
//  4. The texts that providers extracted from the blob are condemned, if nothing else
//     needs them. If the process dies before that, the collector does it.
//  5. The providers are asked. A copy is "deleted" when its provider has confirmed it.
//
// A read that has begun goes on to its end: the bytes stay for the collector's grace
// period.

// removeRequest asks for the removal of a blob's copies. It is an operation beside the
// delete, with a record of its own.
func removeRequest(c echo.Context, d cas.Digest) replicator.Request {
	record := &request.StateOf(c).Record
	record.Digest = d
	return replicator.Request{Digest: d, OperationID: removalID(c), Actor: record.Actor, File: record.FileID}
}

// removalID is the operation id of the removal of the copies.
func removalID(c echo.Context) string { return request.OperationID(c) + ".copies" }

// fileEverywhere answers DELETE /v1/files/{id}?everywhere=true.
func (h *Handlers) fileEverywhere(c echo.Context, id string) error {
	request.StateOf(c).Record.FileID = id
	released, err := h.release(c, id)
	if err != nil {
		return err
	}
	file := released.file
	request.StateOf(c).Record.Digest = file.Digest
	answer := api.FileDeletedEverywhere{FileDeleted: fileDeleted(id), Copies: []api.Copy{}, Texts: []api.ReleasedText{}}
	if file.IsPending() {
		return respond.JSON(c, http.StatusOK, answer)
	}
	ctx := c.Request().Context()
	if answer.Blob, err = h.releasedBlob(ctx, released); err != nil {
		return err
	}
	if released.removal == nil {
		kept, err := h.Copies.Copies(ctx, file.Digest)
		if err != nil {
			return err
		}
		answer.Copies = view.Copies(kept)
		return respond.JSON(c, http.StatusOK, answer)
	}
	if answer.Texts, err = h.condemnTexts(ctx, file.Digest); err != nil {
		return err
	}
	rows := h.waitFor(c, released.removal)
	answer.Copies = view.Copies(rows)
	return h.answerRemoved(c, rows, answer)
}

// releasedFile is a file that was deleted.
type releasedFile struct {
	file      cas.File
	condemned bool // its blob was condemned with it
	// removal is the removal of the blob's copies; nil: they stay, for other files.
	removal *replicator.Removal
}

// release deletes a file, condemns its blob if no other file refers to it, and begins
// the removal of the blob's copies.
func (h *Handlers) release(c echo.Context, id string) (r releasedFile, err error) {
	ctx := c.Request().Context()
	file, err := h.fileToRelease(c, id)
	if err != nil {
		return r, err
	}
	alone, err := h.isAlone(ctx, file)
	if err != nil {
		return r, err
	}
	release := func() (err error) {
		r.file, r.condemned, err = h.Files.ReleaseFile(ctx, id)
		return problem.WithFile(err, id)
	}
	if alone {
		r.removal, err = h.Copies.RemoveAll(ctx, removeRequest(c, file.Digest), release)
	} else if err = release(); err == nil && r.condemned { // the other files went in the meantime
		r.removal, err = h.Copies.RemoveAll(ctx, removeRequest(c, r.file.Digest), func() error { return nil })
	}
	return r, err
}

// fileToRelease returns the file to delete. A copy that an old manager has noted for a
// file is found by its bytes only, so they are taken in first.
func (h *Handlers) fileToRelease(c echo.Context, id string) (cas.File, error) {
	file, err := h.Files.File(c.Request().Context(), id)
	if err == nil && file.IsPending() && file.Origin != nil && file.Origin.ProviderFileID != "" {
		file, _, err = h.Targets.FileBytes(c)
	}
	return file, problem.WithFile(err, id)
}

// isAlone reports whether no other file refers to a file's blob.
func (h *Handlers) isAlone(ctx context.Context, file cas.File) (bool, error) {
	if file.IsPending() {
		return false, nil // it refers to none itself
	}
	some, err := h.Files.ListFiles(ctx, cas.FileQuery{Digest: file.Digest, Limit: 2})
	return len(some) < 2, err
}

// releasedBlob returns the state of a deleted file's blob.
func (h *Handlers) releasedBlob(ctx context.Context, r releasedFile) (*api.ReleasedBlob, error) {
	blob := &api.ReleasedBlob{Digest: r.file.Digest, State: string(cas.StateCondemned)}
	if r.condemned {
		return blob, nil
	}
	err := h.Store.Confirm(ctx, r.file.Digest)
	if errors.Is(err, cas.ErrBlobNotFound) { // it was condemned before
		return blob, nil
	}
	blob.State, blob.Reason = api.BlobKept, "other files refer to it, and its copies serve them"
	return blob, err
}

// blobEverywhere answers DELETE /v1/blobs/{digest}?everywhere=true.
func (h *Handlers) blobEverywhere(c echo.Context, d cas.Digest, force bool) error {
	ctx := c.Request().Context()
	if !force { // before any copy is touched
		if err := h.checkUnused(ctx, d); err != nil {
			return err
		}
	}
	if err := h.checkExists(ctx, d); err != nil {
		return err
	}
	removal, err := h.Copies.RemoveAll(ctx, removeRequest(c, d), func() error {
		err := h.Store.Delete(ctx, d, cas.CondemnOptions{Force: force})
		if errors.Is(err, cas.ErrBlobNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	texts, err := h.condemnTexts(ctx, d)
	if err != nil {
		return err
	}
	rows := h.waitFor(c, removal)
	return h.answerRemoved(c, rows, api.DeletedEverywhere{
		Deleted: api.Deleted{Digest: d, State: cas.StateCondemned}, Copies: view.Copies(rows), Texts: texts,
	})
}

// condemnTexts condemns the texts of a deleted blob that nothing else needs.
func (h *Handlers) condemnTexts(ctx context.Context, d cas.Digest) ([]api.ReleasedText, error) {
	released, err := h.Texts.Condemn(ctx, d)
	if err != nil {
		return nil, err
	}
	texts := make([]api.ReleasedText, len(released))
	for i, text := range released {
		texts[i] = api.ReleasedText{Digest: text.Digest, State: api.BlobKept}
		if text.Condemned {
			texts[i].State = string(cas.StateCondemned)
		}
	}
	return texts, nil
}

// checkUnused refuses to delete a blob that files refer to.
func (h *Handlers) checkUnused(ctx context.Context, d cas.Digest) error {
	files, err := h.Files.ListFiles(ctx, cas.FileQuery{Digest: d, Limit: 1})
	if err == nil && len(files) > 0 {
		err = fmt.Errorf("%w: files refer to %s, such as %s, and its copies serve them; nothing was deleted", cas.ErrBlobInUse, d, files[0].ID)
	}
	return err
}

// checkExists returns cas.ErrBlobNotFound if there is neither the blob nor a copy of
// it. A delete that was interrupted, or was not everywhere, may have left copies.
func (h *Handlers) checkExists(ctx context.Context, d cas.Digest) error {
	_, err := h.Store.Blob(ctx, d)
	if !errors.Is(err, cas.ErrBlobNotFound) {
		return err
	}
	left, lookErr := h.Copies.Copies(ctx, d)
	switch {
	case lookErr != nil:
		return lookErr
	case len(left) == 0:
		return problem.WithBlob(err, d)
	}
	return nil
}

// waitFor waits for a removal as long as the request prefers.
func (h *Handlers) waitFor(c echo.Context, removal *replicator.Removal) []ledger.Copy {
	wait := h.Waits.AsPreferred(c.Request())
	defer wait.End()
	return removal.WaitConfirmed(wait, problem.NeedsOperator)
}

// answerRemoved answers 200 if all copies are gone. If not it answers 202 with an
// operation that ends when the copies that it deletes are gone.
func (h *Handlers) answerRemoved(c echo.Context, rows []ledger.Copy, answer any) error {
	operation := ""
	for _, row := range rows {
		if row.State == ledger.StateDeleting && (operation == "" || row.OperationID == removalID(c)) {
			operation = row.OperationID
		}
	}
	prefer := request.Prefer(c.Request())
	if operation == "" {
		respond.SetApplied(c, prefer.AppliedWhenDone())
		return respond.JSON(c, http.StatusOK, answer)
	}
	respond.SetApplied(c, prefer.AppliedWhenAccepted())
	return respond.Accepted(c, h.URLs, operation, answer)
}
