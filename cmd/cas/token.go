package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"casgate/cas/access"
	"casgate/cas/journal"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
	"casgate/gateway/api"
	"casgate/gateway/view"
)

// tokenCmd manages API tokens. It works on the index itself, not through a
// gateway, so that the owner of the database can make the first token. The routes
// /v1/tokens of a gateway work on the same tokens.
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token and print it. It can't be shown again."`
	Ls     tokenLsCmd     `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke tokens. Gateways refuse them within five seconds."`
}

type tokenCreateCmd struct {
	wiring.LocalIndex
	Name    string         `name:"name" required:"" help:"Name of the token, such as its user."`
	Scopes  string         `name:"scopes" default:"read" help:"Comma-separated: read, write, delete, sync, chat, admin (all of them)."`
	Expires *time.Duration `name:"expires" placeholder:"DURATION" help:"How long the token is valid, such as 24h or 30d; for ever if not given."`
	JSON    bool           `name:"json" help:"Print id, token, name, scopes and expiry as JSON."`
}

// Help returns the text that --help adds.
func (tokenCreateCmd) Help() string {
	return `The token is made in the index itself, without a gateway. So the command needs the gateway's CAS_DATABASE_URL, or its CAS_DATA_DIR if the index lies there. A gateway with another index refuses the token.`
}

// Run makes a token and prints it, alone on a line.
func (c *tokenCreateCmd) Run(ctx context.Context, std terminal.Streams) error {
	scopes, err := access.ParseScopes(c.Scopes)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	var expires time.Time
	if c.Expires != nil {
		if *c.Expires <= 0 {
			return exit.Usagef("--expires must be above 0; without it, the token is valid for ever")
		}
		expires = time.Now().Add(*c.Expires)
	}
	token, text := access.NewToken(c.Name, scopes, expires)
	if err := token.Check(); err != nil {
		return exit.With(exit.Usage, err)
	}
	x, err := c.OpenOrMake(ctx, std)
	if err != nil {
		return err
	}
	defer x.Close()
	made := journal.Record{ID: token.ID, Kind: journal.KindTokenMade}
	err = wiring.Record(x, std, &made, func() error {
		token, err = x.CreateToken(ctx, token)
		made.ID = token.ID
		return err
	})
	if err != nil {
		return err
	}
	if !c.JSON {
		_, err = fmt.Fprintln(std.Out, text)
		return err
	}
	return terminal.PrintJSON(std.Out, api.CreatedToken{Token: view.Token(token), Text: text})
}

type tokenLsCmd struct {
	wiring.LocalIndex
	JSON bool `name:"json" help:"Print one JSON object a line."`
}

// Run prints a table, or JSON lines.
func (c *tokenLsCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	tokens, err := x.Tokens(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		for _, t := range tokens {
			if err := terminal.PrintJSON(std.Out, view.Token(t)); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSCOPES\tCREATED\tEXPIRES\tLAST USED\tSTATE")
	for _, t := range tokens {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, terminal.Printable(t.Name), access.JoinScopes(t.Scopes),
			terminal.Time(t.CreatedAt, "-"), terminal.Time(t.ExpiresAt, "never"), terminal.Time(t.LastUsedAt, "never"), tokenState(t))
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

type tokenRevokeCmd struct {
	wiring.LocalIndex
	IDs  []string `arg:"" name:"id" help:"Ids of the tokens, as cas token ls shows them."`
	JSON bool     `name:"json" help:"Print a JSON object for each token; after a failure, its id and the error."`
}

// tokenRevoked is the JSON of a token to revoke.
type tokenRevoked struct {
	ID      string            `json:"id"`
	Revoked bool              `json:"revoked"`
	Error   *report.JSONError `json:"error,omitempty"`
}

// Run revokes each token; an unknown id is an error, after the others are done.
func (c *tokenRevokeCmd) Run(ctx context.Context, std terminal.Streams) error {
	x, err := c.Open(ctx)
	if err != nil {
		return err
	}
	defer x.Close()
	var revoked report.Tally
	for _, id := range c.IDs {
		err := wiring.Record(x, std, &journal.Record{ID: id, Kind: journal.KindTokenEnded}, func() error { return x.RevokeToken(ctx, id) })
		if errors.Is(err, access.ErrTokenNotFound) {
			err = exit.With(exit.NotFound, fmt.Errorf("%w; `cas token ls` lists the ids", err))
		}
		revoked.Add(err)
		if err != nil {
			terminal.Fail(std.Err, err)
		}
		switch {
		case c.JSON:
			err = terminal.PrintJSON(std.Out, tokenRevoked{id, err == nil, report.NewJSONError(err)})
		case err == nil:
			_, err = fmt.Fprintln(std.Out, "revoked", id)
		default:
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return revoked.Err(ctx)
}
