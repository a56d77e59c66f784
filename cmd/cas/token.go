package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"

	"casgate/cas/access"
	"casgate/cas/journal"
)

// tokenCmd manages API tokens. It works on the index itself, not through a
// gateway, so that the first token can be made by whoever runs the database.
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token and print it. It can't be shown again."`
	Ls     tokenLsCmd     `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke tokens. Gateways heed it within five seconds."`
}

type tokenCreateCmd struct {
	dataConfig
	indexConfig
	Name    string        `name:"name" required:"" help:"What or whom the token is for."`
	Scopes  string        `name:"scopes" default:"read" help:"Comma-separated: read, write, delete, sync, admin (all of them)."`
	Expires time.Duration `name:"expires" help:"How long the token is good for, such as 720h; for ever if not given."`
	JSON    bool          `name:"json" help:"Print id, token, name, scopes and expiry as JSON."`
}

// Run makes a token and prints it, alone on a line.
func (c *tokenCreateCmd) Run(ctx context.Context, std stdio) error {
	scopes, err := access.ParseScopes(c.Scopes)
	if err != nil {
		return usageError{err}
	}
	if c.Expires < 0 {
		return usageError{fmt.Errorf("--expires %s lies in the past", c.Expires)}
	}
	var expires time.Time
	if c.Expires > 0 {
		expires = time.Now().Add(c.Expires)
	}
	x, err := openCurrentIndex(ctx, c.indexConfig, c.dataConfig, zerolog.Nop())
	if err != nil {
		return err
	}
	defer x.Close()
	token, text := access.NewToken(c.Name, scopes, expires)
	start := time.Now()
	token, err = x.CreateToken(ctx, token)
	recordOwn(x, std, journal.Record{ID: token.ID, Kind: journal.KindTokenMade}, start, err)
	if err != nil {
		return err
	}
	if !c.JSON {
		_, err = fmt.Fprintln(std.out, text)
		return err
	}
	return json.NewEncoder(std.out).Encode(struct {
		tokenJSON
		Token string `json:"token"`
	}{jsonToken(token), text})
}

type tokenLsCmd struct {
	dataConfig
	indexConfig
	JSON bool `name:"json" help:"Print one JSON object a line."`
}

// tokenJSON is how a token is printed as JSON.
type tokenJSON struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Scopes     []access.Scope `json:"scopes"`
	CreatedAt  time.Time      `json:"created_at"`
	ExpiresAt  *time.Time     `json:"expires_at"`
	LastUsedAt *time.Time     `json:"last_used_at"`
	RevokedAt  *time.Time     `json:"revoked_at"`
}

func jsonToken(t access.Token) tokenJSON {
	return tokenJSON{t.ID, t.Name, t.Scopes, t.CreatedAt, optionalTime(t.ExpiresAt), optionalTime(t.LastUsedAt), optionalTime(t.RevokedAt)}
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Run prints a table, or JSON lines.
func (c *tokenLsCmd) Run(ctx context.Context, std stdio) error {
	x, err := openCurrentIndex(ctx, c.indexConfig, c.dataConfig, zerolog.Nop())
	if err != nil {
		return err
	}
	defer x.Close()
	tokens, err := x.Tokens(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(std.out)
		for _, t := range tokens {
			if err := encoder.Encode(jsonToken(t)); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSCOPES\tCREATED\tEXPIRES\tLAST USED\tSTATE")
	for _, t := range tokens {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Name, access.JoinScopes(t.Scopes),
			shortTime(t.CreatedAt, "-"), shortTime(t.ExpiresAt, "never"), shortTime(t.LastUsedAt, "never"), tokenState(t))
	}
	return w.Flush()
}

func tokenState(t access.Token) string {
	switch {
	case !t.RevokedAt.IsZero():
		return "revoked"
	case !t.ExpiresAt.IsZero() && time.Now().After(t.ExpiresAt):
		return "expired"
	}
	return "valid"
}

func shortTime(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04")
}

type tokenRevokeCmd struct {
	dataConfig
	indexConfig
	IDs []string `arg:"" name:"id" help:"Ids of the tokens, as cas token ls shows them."`
}

// Run revokes each token; an unknown id is an error, after the others are done.
func (c *tokenRevokeCmd) Run(ctx context.Context, std stdio) error {
	x, err := openCurrentIndex(ctx, c.indexConfig, c.dataConfig, zerolog.Nop())
	if err != nil {
		return err
	}
	defer x.Close()
	var failed error
	for _, id := range c.IDs {
		start := time.Now()
		err := x.RevokeToken(ctx, id)
		recordOwn(x, std, journal.Record{ID: id, Kind: journal.KindTokenEnded}, start, err)
		if errors.Is(err, access.ErrTokenNotFound) {
			err = codedError{fmt.Errorf("%w; `cas token ls` lists the ids", err), exitNotFound}
		}
		if err != nil {
			fmt.Fprintln(std.err, "cas:", err)
			failed = err
			continue
		}
		fmt.Fprintln(std.out, "revoked", id)
	}
	if failed != nil && len(c.IDs) > 1 {
		return codedError{errReported, exitPartly}
	}
	if failed != nil {
		return codedError{errReported, exitCode(ctx, failed)}
	}
	return nil
}
