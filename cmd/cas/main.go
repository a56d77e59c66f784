// Command cas is casgate: a gateway that keeps every file once, under its
// SHA-256, and the client for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], terminal.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// cli is every command; its tags are the help.
type cli struct {
	Serve serveCmd `cmd:"" help:"Run the gateway."`

	Put         putCmd         `cmd:"" help:"Store files, and print their hash URLs."`
	Get         getCmd         `cmd:"" help:"Fetch a blob, and verify it."`
	Stat        statCmd        `cmd:"" help:"Tell what the gateway knows of blobs."`
	Ls          lsCmd          `cmd:"" help:"List blobs, oldest first."`
	Rm          rmCmd          `cmd:"" help:"Delete blobs."`
	Exists      existsCmd      `cmd:"" help:"Tell whether the gateway has blobs, by digest or by local file."`
	File        fileCmd        `cmd:"" help:"Store, fetch, list and delete files: named references to blobs."`
	URL         urlCmd         `cmd:"" name:"url" help:"Print a URL that reads a blob without a token, for a while."`
	Sync        syncCmd        `cmd:"" help:"Make sure that providers have copies of blobs, and print the files' ids there."`
	Copies      copiesCmd      `cmd:"" help:"List, delete and mend the copies at providers."`
	Ref         refCmd         `cmd:"" help:"Print what to put into a request to a provider, to use a blob there."`
	Text        textCmd        `cmd:"" help:"Print the text that a provider extracts from a blob."`
	Providers   providersCmd   `cmd:"" help:"Tell how the providers fare, and what they take."`
	Ops         opsCmd         `cmd:"" help:"Tell what was done: the journal of operations, newest first."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask whether the gateway is ready, for containers."`

	Import   importCmd   `cmd:"" help:"Register the files of an old file manager, straight in the index; their bytes stay where they are."`
	Backfill backfillCmd `cmd:"" help:"Take in the bytes of imported files, straight into index and store."`

	Token      tokenCmd      `cmd:"" help:"Make, list and revoke API tokens, straight in the index."`
	SigningKey signingKeyCmd `cmd:"" name:"signing-key" help:"List and rotate the keys that sign hash URLs, straight in the index."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the index's schema up to date, or show where it stands."`
	Doctor     doctorCmd     `cmd:"" help:"Check configuration, index, store, clock and permissions, and say how to mend what is wrong."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// run is main, with everything it touches passed in. It returns the exit code.
func run(ctx context.Context, args []string, std terminal.Streams) int {
	var commands cli
	exited := -1
	parser, err := kong.New(&commands,
		kong.Name("cas"),
		kong.Description("casgate keeps every file once, under its SHA-256, and gives it back by hash URL."),
		kong.UsageOnError(),
		kong.Writers(std.Out, std.Err),
		kong.Exit(func(code int) { exited = code }),
		kong.Help(settings.PrintHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"data_dir": settings.DefaultDataDir()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		fmt.Fprintln(std.Err, "cas:", err)
		return exit.Failure
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil {
			e.Context.Stdout = std.Err // standard output is for what was asked for
			_ = e.Context.PrintUsage(true)
		}
		fmt.Fprintln(std.Err, "cas:", err)
		return exit.Usage
	}
	if err := settings.LoadSecrets(command.Selected()); err != nil {
		fmt.Fprintln(std.Err, "cas:", err)
		return exit.Usage
	}
	err = command.Run()
	if err != nil && !errors.Is(err, exit.ErrReported) {
		fmt.Fprintln(std.Err, "cas:", err)
	}
	return report.ExitCode(ctx, err)
}
