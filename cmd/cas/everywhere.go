package main

import (
	"context"
	"errors"

	"casgate/cmd/cas/internal/argument"
	"casgate/cmd/cas/internal/exit"
	"casgate/gateway/client"
)

// confirmedHelp says in the help of the commands that delete copies when one is deleted.
const confirmedHelp = `A copy counts as deleted only after its provider has confirmed it. Until then the gateway keeps trying, and the exit code is 9.`

// deleteEverywhere calls ask, which deletes a file or a blob everywhere, and waits for the
// providers as wait says. Deleted is true if the gateway has answered. The states of the
// copies then say what is left, so the error is nil, unless ctx has ended.
func deleteEverywhere(ctx context.Context, wait argument.Wait, ask func(context.Context, client.EverywhereOptions) (deleted bool, err error)) error {
	limited, cancel := wait.Context(ctx)
	defer cancel()
	deleted, err := ask(limited, client.EverywhereOptions{Async: wait.Not, UntilFailure: !wait.Given})
	switch {
	case deleted && err != nil && ctx.Err() != nil:
		return exit.With(exit.Interrupted, errors.New("stopped waiting; the gateway continues to delete the copies"))
	case deleted:
		return nil
	case limited.Err() != nil && ctx.Err() == nil:
		return exit.With(exit.UnderWay, errors.New("the gateway has not answered in that time; the same command continues the delete"))
	}
	return err
}
