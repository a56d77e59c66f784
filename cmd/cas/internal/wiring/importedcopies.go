package wiring

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/providers"
	"casgate/providers/replicator"
)

// ImportedCopies enters the copies of an old file manager into the ledger, after the
// bytes of their files have been read.
type ImportedCopies struct {
	Copies *Copies
	Log    zerolog.Logger

	reported sync.Map // names of providers whose copies can't be entered
}

// otherNames are the names of the providers in old managers.
var otherNames = map[string]string{
	"moonshot": "kimi", "moonshotai": "kimi", "moonshot-ai": "kimi",
	"zhipu": "glm", "zhipuai": "glm", "bigmodel": "glm", "z.ai": "glm", "zai": "glm", "chatglm": "glm",
	"claude": "anthropic",
	"google": "gemini", "googleai": "gemini", "google-ai": "gemini", "google-genai": "gemini",
}

// Enter enters the copy of a file whose bytes have been read. A copy at a provider that is
// not configured can't be entered, because its account is not known. Enter logs that once
// for each provider; the copy is made again when it is needed.
func (n *ImportedCopies) Enter(ctx context.Context, f cas.File) error {
	if f.Origin == nil || f.Origin.ProviderFileID == "" {
		return nil
	}
	name := strings.ToLower(f.Origin.Provider)
	if usual, ok := otherNames[name]; ok {
		name = usual
	}
	err := n.Copies.Enter(ctx, replicator.Request{
		Digest: f.Digest, Provider: name, Purpose: f.Purpose, Name: f.Name, MediaType: f.MediaType, OperationID: "import." + f.ID,
	}, f.Origin.ProviderFileID)
	e, _ := errors.AsType[*providers.Error](err)
	if errors.Is(err, providers.ErrProviderNotFound) || e != nil && e.Code == providers.CodeNotConfigured {
		if _, again := n.reported.LoadOrStore(name, true); !again {
			n.Log.Warn().Err(err).Str("provider", name).Msg("copies of the old manager at this provider are not taken over; they are made again when they are needed")
		}
		return nil
	}
	return err
}
