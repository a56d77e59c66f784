package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/providers"
)

// notedCopies enters the copies that an old file manager has noted into the ledger,
// once the bytes of their files have been taken in.
type notedCopies struct {
	copies *copies
	log    zerolog.Logger
	told   sync.Map // providers, by name, that can't be entered
}

// otherNames are what old managers call the providers.
var otherNames = map[string]string{
	"moonshot": "kimi", "moonshotai": "kimi", "moonshot-ai": "kimi",
	"zhipu": "glm", "zhipuai": "glm", "bigmodel": "glm", "z.ai": "glm", "zai": "glm", "chatglm": "glm",
}

// enter is told of a file whose bytes have been taken in. A copy at a provider that
// isn't configured can't be entered, since its account isn't known; that is said
// once, and the copy made anew when it is needed.
func (n *notedCopies) enter(ctx context.Context, f cas.File) error {
	if f.Origin == nil || f.Origin.ProviderFileID == "" {
		return nil
	}
	name := strings.ToLower(f.Origin.Provider)
	if usual, ok := otherNames[name]; ok {
		name = usual
	}
	err := n.copies.Enter(ctx, providers.Request{
		Digest: f.Digest, Provider: name, Purpose: f.Purpose, Name: f.Name, OperationID: "import." + f.ID,
	}, f.Origin.ProviderFileID)
	e, _ := errors.AsType[*providers.Error](err)
	if errors.Is(err, providers.ErrProviderNotFound) || e != nil && e.Code == providers.CodeNotConfigured {
		if _, again := n.told.LoadOrStore(name, true); !again {
			n.log.Warn().Err(err).Str("provider", name).Msg("copies that the old manager has noted there are not taken over; they are made anew when they are needed")
		}
		return nil
	}
	return err
}
