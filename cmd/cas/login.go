package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"casgate/cas/access"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
	"casgate/gateway/problem"
)

// loginCmd keeps a gateway and a token for it.
type loginCmd struct {
	URL     string          `arg:"" name:"url" help:"The gateway's URL, such as https://files.example.com."`
	Profile string          `default:"default" placeholder:"NAME" help:"Name of the profile."`
	Token   settings.Secret `kong:"-" secret:"CAS_TOKEN" help:"the token; without it, it is read from standard input"`
	JSON    bool            `name:"json" help:"Print a JSON object."`
}

// Help returns the text that --help adds.
func (loginCmd) Help() string {
	return `The token is asked for on a terminal, or read from standard input. The gateway is asked whether it is valid. URL and token are then kept in casgate/config.json in your configuration folder (or in the file that CAS_CONFIG names), which only you can read. Commands without --url, --profile, CAS_URL and CAS_PROFILE use the profile of the last login.`
}

// loginJSON is the JSON of a login.
type loginJSON struct {
	URL     string         `json:"url"`
	Profile string         `json:"profile"`
	File    string         `json:"file"`
	Name    string         `json:"name"` // of the token
	Scopes  []access.Scope `json:"scopes"`
}

// Run checks the token and writes the configuration file.
func (c *loginCmd) Run(ctx context.Context, std terminal.Streams) error {
	token, err := c.readToken(ctx, std)
	if err != nil {
		return err
	}
	gateway, err := settings.ClientOf(c.URL, client.Options{Token: token})
	if err != nil {
		return err
	}
	defer gateway.Close()
	own, err := gateway.OwnToken(ctx)
	if errors.Is(err, problem.Unauthenticated) {
		return fmt.Errorf("%w; nothing was kept; check the token that %s", err, c.source())
	}
	if err != nil {
		return report.Advise(err)
	}
	all, err := settings.ReadProfiles()
	if err != nil {
		return err
	}
	if all.Profiles == nil {
		all.Profiles = map[string]settings.Profile{}
	}
	all.Default = c.Profile
	all.Profiles[c.Profile] = settings.Profile{URL: gateway.BaseURL(), Token: token}
	if err := all.Write(); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	if c.JSON {
		return terminal.PrintJSON(std.Out, loginJSON{gateway.BaseURL(), c.Profile, settings.ProfilesPath(), own.Name, own.Scopes})
	}
	scopes := make([]string, len(own.Scopes))
	for i, scope := range own.Scopes {
		scopes[i] = string(scope)
	}
	fmt.Fprintf(std.Err, "logged in to %s as %s (%s); kept in %s as profile %s\n", gateway.BaseURL(), terminal.Printable(own.Name), strings.Join(scopes, ", "), settings.ProfilesPath(), terminal.Printable(c.Profile))
	return nil
}

// source says where the token comes from.
func (c *loginCmd) source() string {
	if c.Token == "" {
		return "you typed or piped"
	}
	return "is in " + settings.SecretSource("CAS_TOKEN")
}

// readToken returns the token that is set, or reads it from standard input. A terminal
// doesn't show it.
func (c *loginCmd) readToken(ctx context.Context, std terminal.Streams) (string, error) {
	if c.Token != "" {
		return c.Token.Reveal(), nil
	}
	var line string
	var err error
	if file, ok := std.In.(*os.File); ok && terminal.IsTerminal(file) {
		line, err = std.AskSecret(ctx, file, "Token: ")
		if errors.Is(err, terminal.ErrInterrupted) {
			return "", exit.With(exit.Interrupted, exit.ErrReported)
		}
	} else {
		in := terminal.ReaderUntil(ctx, std.In)
		defer in.Close()
		line, err = bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimSpace(line); line == "" {
		return "", exit.Usagef("no token: type it, pipe it to standard input, or set CAS_TOKEN")
	}
	return line, nil
}
