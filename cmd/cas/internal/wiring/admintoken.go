package wiring

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/settings"
)

// EnsureAdminToken makes the first token of an embedded gateway and writes it to the data
// folder. It writes the file first: after a crash before the index has the token, the next
// start finds no token in the index and makes another one. A nil writer records nothing.
func EnsureAdminToken(ctx context.Context, x Index, records *journal.Writer, data settings.Data, log zerolog.Logger) error {
	tokens, err := x.Tokens(ctx)
	if err != nil {
		return err
	}
	if len(tokens) > 0 {
		return nil
	}
	token, text := access.NewToken("admin (made at the first start)", []access.Scope{access.ScopeAdmin}, time.Time{})
	if err := writePrivate(data.Path(settings.AdminTokenFile), text+"\n"); err != nil {
		return fmt.Errorf("write the admin token: %w", err)
	}
	start := time.Now()
	if _, err := x.CreateToken(ctx, token); err != nil {
		return fmt.Errorf("store the admin token: %w", err)
	}
	made := endedNow(journal.Record{ID: token.ID, Kind: journal.KindTokenMade, Actor: journal.ActorGateway}, start, nil)
	if records != nil {
		records.Add(made)
	}
	log.Info().Str("operation_id", made.ID).Str("file", data.Path(settings.AdminTokenFile)).Msg("first start: made an admin token; the client commands find it there")
	return nil
}

// writePrivate replaces a file in one step. Only its owner can read it.
func writePrivate(path, content string) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
