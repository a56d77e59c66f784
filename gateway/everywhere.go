package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/providers"
)

// To delete everywhere is to delete a file or a blob with all its copies at
// providers. The order makes it safe to cut short, and to repeat:
//
// First the copies that are there are marked in the ledger; from then on they are
// deleted whatever happens. Then the file goes and its blob is condemned, in one step:
// until then the request can be repeated by the same id, and after it nobody can find
// the blob or begin another copy. Then copies are marked that were begun meanwhile.
// Only now providers are asked, and a copy is "deleted" when they have confirmed it.
//
// Whoever has begun to read goes on to the end: the bytes stay for the collector's
// grace period.

// deleteScopes are those of a delete: one that is everywhere removes files at
// providers, too.
func deleteScopes(c echo.Context) []access.Scope {
	if everywhere, err := boolParam(c, "everywhere"); err == nil && !everywhere {
		return []access.Scope{access.ScopeDelete}
	}
	return removeScopes(c)
}

// removeRequest asks for the removal of a blob's copies. It is an operation beside
// the delete, which has its own record.
func removeRequest(c echo.Context, d cas.Digest) providers.Request {
	a := aboutOf(c)
	a.digest = d
	return providers.Request{Digest: d, OperationID: operationID(c) + ".copies", Actor: a.actor, File: a.fileID}
}

// deleteFileEverywhere answers DELETE /v1/files/{id}?everywhere=true.
func (g *Gateway) deleteFileEverywhere(c echo.Context, id string) error {
	ctx := c.Request().Context()
	aboutOf(c).fileID = id
	file, err := g.fileToRelease(c, id)
	if err != nil {
		return err
	}
	alone, err := g.isAlone(ctx, file)
	if err != nil {
		return err
	}
	condemned := false
	release := func() (err error) {
		file, condemned, err = g.files.ReleaseFile(ctx, id)
		return fileNotFound(err, id)
	}
	var removal *providers.Removal
	if alone {
		removal, err = g.copies.RemoveAll(ctx, removeRequest(c, file.Digest), release)
	} else if err = release(); err == nil && condemned { // the others have just gone
		removal, err = g.copies.RemoveAll(ctx, removeRequest(c, file.Digest), func() error { return nil })
	}
	if err != nil {
		return err
	}
	aboutOf(c).digest = file.Digest
	answer := api.FileDeletedEverywhere{
		FileDeleted: api.FileDeleted{ID: id, Object: api.ObjectFile, Deleted: true}, Copies: []api.Copy{},
	}
	if file.IsPending() {
		return noStore(c, http.StatusOK, answer)
	}
	if answer.Blob, err = g.releasedBlob(ctx, file.Digest, condemned); err != nil {
		return err
	}
	if removal == nil {
		kept, err := g.copies.Copies(ctx, file.Digest)
		if err != nil {
			return err
		}
		answer.Copies = apiCopies(kept)
		return noStore(c, http.StatusOK, answer)
	}
	rows := g.waitRemoval(c, removal)
	answer.Copies = apiCopies(rows)
	return g.answerRemoved(c, rows, answer)
}

// fileToRelease returns the file to delete. A copy that an old manager has noted for
// it is known by its bytes only, so these are taken in where they have not been.
func (g *Gateway) fileToRelease(c echo.Context, id string) (cas.File, error) {
	file, err := g.files.File(c.Request().Context(), id)
	if err == nil && file.IsPending() && file.Origin != nil && file.Origin.ProviderFileID != "" {
		file, _, err = g.fileBytes(c)
	}
	return file, fileNotFound(err, id)
}

// isAlone reports whether no other file refers to a file's blob.
func (g *Gateway) isAlone(ctx context.Context, file cas.File) (bool, error) {
	if file.IsPending() {
		return false, nil // it refers to none itself
	}
	some, err := g.files.ListFiles(ctx, cas.FileQuery{Digest: file.Digest, Limit: 2})
	return len(some) < 2, err
}

// releasedBlob says what became of the blob of a deleted file.
func (g *Gateway) releasedBlob(ctx context.Context, d cas.Digest, condemned bool) (*api.ReleasedBlob, error) {
	released := &api.ReleasedBlob{Digest: d, State: string(cas.StateCondemned)}
	if condemned {
		return released, nil
	}
	err := g.store.Confirm(ctx, d)
	if errors.Is(err, cas.ErrBlobNotFound) { // it was condemned before
		return released, nil
	}
	released.State, released.Reason = api.BlobKept, "other files refer to it, and its copies serve them"
	return released, err
}

// deleteBlobEverywhere answers DELETE /v1/blobs/{digest}?everywhere=true.
func (g *Gateway) deleteBlobEverywhere(c echo.Context, d cas.Digest, force bool) error {
	ctx := c.Request().Context()
	if !force { // before any copy is touched
		files, err := g.files.ListFiles(ctx, cas.FileQuery{Digest: d, Limit: 1})
		if err != nil {
			return err
		}
		if len(files) > 0 {
			return fmt.Errorf("%w: files refer to %s, such as %s, and its copies serve them; nothing was deleted", cas.ErrBlobInUse, d, files[0].ID)
		}
	}
	if _, err := g.store.Blob(ctx, d); errors.Is(err, cas.ErrBlobNotFound) {
		// Of a delete that was cut short, or was not everywhere, the copies may be left.
		left, lookErr := g.copies.Copies(ctx, d)
		if lookErr != nil {
			return lookErr
		}
		if len(left) == 0 {
			return notFoundDetail(err, d)
		}
	} else if err != nil {
		return err
	}
	removal, err := g.copies.RemoveAll(ctx, removeRequest(c, d), func() error {
		err := g.store.Delete(ctx, d, force)
		if errors.Is(err, cas.ErrBlobNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	rows := g.waitRemoval(c, removal)
	return g.answerRemoved(c, rows, api.DeletedEverywhere{
		Deleted: api.Deleted{Digest: d, State: cas.StateCondemned}, Copies: apiCopies(rows),
	})
}

// waitRemoval waits for a removal as long as the request is prepared to.
func (g *Gateway) waitRemoval(c echo.Context, removal *providers.Removal) []providers.Copy {
	wait := g.waiting(c.Request(), parsePrefer(c.Request().Header["Prefer"]).patience(g.o.CopyWait))
	defer wait.end()
	return removal.Wait(wait)
}

// answerRemoved answers 200 where all copies are gone, and else 202 with an operation
// that is over when those are that it has to do with.
func (g *Gateway) answerRemoved(c echo.Context, rows []providers.Copy, answer any) error {
	waiting := ""
	for _, row := range rows {
		if row.State == providers.StateDeleting && (waiting == "" || row.OperationID == operationID(c)+".copies") {
			waiting = row.OperationID
		}
	}
	if waiting == "" {
		return noStore(c, http.StatusOK, answer)
	}
	return g.answerAccepted(c, waiting, answer)
}
