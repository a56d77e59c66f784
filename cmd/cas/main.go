// Command cas is casgate: a gateway that keeps every file once, under its
// SHA-256, and the client for it.
package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/report"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"

	"github.com/alecthomas/kong"
)

func main() {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], terminal.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// cli has all commands. Its tags are their help.
type cli struct {
	Serve serveCmd `cmd:"" help:"Run the gateway."`

	Put         putCmd         `cmd:"" help:"Store files, and print their hash URLs."`
	Get         getCmd         `cmd:"" help:"Fetch a blob, and verify it."`
	Stat        statCmd        `cmd:"" help:"Show what the gateway knows about blobs."`
	Ls          lsCmd          `cmd:"" help:"List blobs, oldest first."`
	Rm          rmCmd          `cmd:"" help:"Delete blobs."`
	Exists      existsCmd      `cmd:"" help:"Check whether the gateway has blobs, by digest or by local file."`
	File        fileCmd        `cmd:"" help:"Store, fetch, list and delete files: named references to blobs."`
	URL         urlCmd         `cmd:"" name:"url" help:"Print a URL that reads a blob without a token for a limited time."`
	UploadURL   uploadURLCmd   `cmd:"" name:"upload-url" help:"Print a URL that uploads a file without a token for a limited time."`
	Sync        syncCmd        `cmd:"" help:"Make sure that providers have copies of blobs, and print the file ids there."`
	Ask         askCmd         `cmd:"" help:"Ask a model of a provider about files, and print its answer."`
	Copies      copiesCmd      `cmd:"" help:"List, delete and repair the copies at providers."`
	Ref         refCmd         `cmd:"" help:"Print the part of a request to a provider that uses a blob."`
	Text        textCmd        `cmd:"" help:"Print the text that a provider extracts from a blob."`
	Providers   providersCmd   `cmd:"" help:"Show the state of the providers, and the files that they accept."`
	Ops         opsCmd         `cmd:"" help:"Show the journal of operations, newest first."`
	MCP         mcpCmd         `cmd:"" name:"mcp" help:"Give an agent tools for files, by the Model Context Protocol on standard input and output."`
	Healthcheck healthcheckCmd `cmd:"" help:"Check whether the gateway is ready. For containers."`

	GC       gcCmd       `cmd:"" name:"gc" help:"Remove the bytes of deleted blobs directly from index and store, after their grace period."`
	Scrub    scrubCmd    `cmd:"" help:"Read stored objects again, compare their digests, and repair damaged ones, directly in index and store."`
	Verify   verifyCmd   `cmd:"" help:"Read the objects of some blobs again, and compare their digests."`
	Export   exportCmd   `cmd:"" help:"Write everything that the index knows, as JSON lines, directly from the index."`
	Reindex  reindexCmd  `cmd:"" help:"Make a lost index again, directly from the store and a file of cas export."`
	Import   importCmd   `cmd:"" help:"Register the files of an old file manager directly in the index. Their bytes stay where they are."`
	Backfill backfillCmd `cmd:"" help:"Copy the bytes of imported files directly into index and store."`

	Token      tokenCmd      `cmd:"" help:"Make, list and revoke API tokens directly in the index; a gateway does it at /v1/tokens."`
	SigningKey signingKeyCmd `cmd:"" name:"signing-key" help:"List and rotate the keys that sign hash URLs, directly in the index."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the schema of the index up to date, or show its version."`
	Doctor     doctorCmd     `cmd:"" help:"Check configuration, index, store, clock and permissions, and say how to fix each problem."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// grammar returns what args are parsed into: the command that their first names, or else
// all commands. To prepare all of them takes half of the time of a short command.
func grammar(args []string) any {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[cli]()) {
		if len(args) > 0 && args[0] == cmp.Or(field.Tag.Get("name"), strings.ToLower(field.Name)) {
			return reflect.New(reflect.StructOf([]reflect.StructField{field})).Interface()
		}
	}
	return new(cli)
}

// run is main without global state. It returns the exit code.
func run(ctx context.Context, args []string, std terminal.Streams) int {
	exited := -1
	parser, err := kong.New(grammar(args),
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
		terminal.Fail(std.Err, err)
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
			e.Context.Stdout = std.Err // standard output is for results only
			_ = e.Context.PrintUsage(true)
		}
		terminal.Fail(std.Err, err)
		return exit.Usage
	}
	if err := settings.LoadSecrets(command.Selected()); err != nil {
		terminal.Fail(std.Err, err)
		return exit.Usage
	}
	err = command.Run()
	if err != nil && !errors.Is(err, exit.ErrReported) {
		terminal.Fail(std.Err, err)
	}
	return report.ExitCode(ctx, err)
}
