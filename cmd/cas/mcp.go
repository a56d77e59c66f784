package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"casgate/cas/access"
	"casgate/cmd/cas/internal/build"
	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/localfiles"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/gateway/client"
	"casgate/gateway/mcpserver"
	"casgate/gateway/problem"
)

// mcpCmd gives an agent its tools over standard input and output.
type mcpCmd struct {
	settings.Client

	Root        []string `name:"root" sep:"none" placeholder:"DIR" help:"Folder with files that the agent may store; may be repeated. Default: the working folder, unless the home folder is in it."`
	AllowHidden bool     `help:"Let the agent store files whose path has a part that begins with a dot, such as .env."`
	AllowDelete bool     `help:"Let the agent delete files."`
	ReadOnly    bool     `help:"Offer only tools that find and read files."`
}

// Help returns the text that --help adds.
func (mcpCmd) Help() string {
	return `Agents start this command and speak the Model Context Protocol with it: standard input and output carry the protocol, and messages for people go to standard error. The gateway offers the same tools at /mcp, without access to local files.

The tools have the rights of the token. Give agents a token of their own, such as cas token create --name agent --scopes read,write.`
}

// Run serves the tools until standard input ends.
func (c *mcpCmd) Run(ctx context.Context, std terminal.Streams) error {
	gateway, err := c.Connect()
	if err != nil {
		return err
	}
	defer gateway.Close()
	local, err := c.openFolders(std)
	if err != nil {
		return err
	}
	o := mcpserver.Options{Client: gateway, Version: build.Version(), Allows: c.limit(scopesOf(ctx, gateway, std))}
	if local != nil {
		defer local.Close()
		o.LocalFiles = local
	}
	if !c.AllowDelete {
		o.Without = append(o.Without, mcpserver.ToolDeleteFile)
	}
	out := &protocolOut{out: std.Out}
	err = mcpserver.New(o).Run(ctx, protocolTransport{&mcp.IOTransport{Reader: newProtocolIn(std.In, out), Writer: out}})
	if ctx.Err() != nil || errors.Is(err, io.EOF) { // a signal, or the agent has closed standard input
		return nil
	}
	return err
}

// openFolders opens the folders of put_file. Nil: the tool is not offered.
func (c *mcpCmd) openFolders(std terminal.Streams) (*localfiles.Files, error) {
	if c.ReadOnly {
		return nil, nil
	}
	o := localfiles.Options{Folders: c.Root, Hidden: c.AllowHidden}
	if len(c.Root) > 0 {
		files, err := localfiles.Open(o)
		if err != nil {
			return nil, exit.Usagef("--root: %w", err)
		}
		return files, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	o.Folders = []string{dir}
	files, err := localfiles.Open(o)
	if errors.Is(err, localfiles.ErrTooWide) {
		fmt.Fprintf(std.Err, "cas: put_file is not offered: the working folder is %s. --root names a folder with files that the agent may store.\n", dir)
		return nil, nil
	}
	return files, err
}

// limit leaves out what the flags don't allow.
func (c *mcpCmd) limit(allows func(access.Scope) bool) func(access.Scope) bool {
	if !c.ReadOnly {
		return allows
	}
	return func(scope access.Scope) bool { return scope == access.ScopeRead && allows(scope) }
}

// scopesTimeout bounds the wait for the gateway before the agent gets its list of tools.
const scopesTimeout = 3 * time.Second

// scopesOf returns which scopes the token has. A gateway without authentication allows all.
// If the scopes are unknown, all tools are offered, and the gateway refuses what the token
// may not do.
func scopesOf(ctx context.Context, gateway *client.Client, std terminal.Streams) func(access.Scope) bool {
	ctx, cancel := context.WithTimeout(ctx, scopesTimeout)
	defer cancel()
	token, err := gateway.OwnToken(ctx)
	if err == nil {
		return access.Token{Scopes: token.Scopes}.Allows
	}
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Problem.Code != problem.Forbidden {
		fmt.Fprintf(std.Err, "cas: all tools are offered, since the scopes of the token are unknown: %v\n", err)
	}
	return func(access.Scope) bool { return true }
}
