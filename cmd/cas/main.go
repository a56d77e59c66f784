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
	"slices"
	"syscall"
	"time"
	"unicode/utf8"

	"casgate/cmd/cas/internal/duration"
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
	os.Exit(run(ctx, os.Args[1:], terminal.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Activity: new(terminal.Activity)}))
}

// cli has all commands. Its tags are their help.
type cli struct {
	Put       putCmd       `cmd:"" group:"files" help:"Store files, and print their hash URLs."`
	Get       getCmd       `cmd:"" group:"files" help:"Fetch blobs, and verify them."`
	Stat      statCmd      `cmd:"" group:"files" help:"Show what the gateway knows about blobs."`
	Ls        lsCmd        `cmd:"" group:"files" help:"List blobs, oldest first."`
	Du        duCmd        `cmd:"" group:"files" help:"Count blobs and their bytes, by media type."`
	Rm        rmCmd        `cmd:"" group:"files" help:"Delete blobs."`
	Exists    existsCmd    `cmd:"" group:"files" help:"Check whether the gateway has blobs, by digest or by local file."`
	File      fileCmd      `cmd:"" group:"files" help:"Store, fetch, list and delete files: named references to blobs."`
	URL       urlCmd       `cmd:"" group:"files" name:"url" help:"Print a URL that reads a blob without a token for a limited time."`
	UploadURL uploadURLCmd `cmd:"" group:"files" name:"upload-url" help:"Print a URL that uploads a file without a token for a limited time."`
	MCP       mcpCmd       `cmd:"" group:"files" name:"mcp" help:"Give an agent tools for files, by the Model Context Protocol on standard input and output."`

	Sync      syncCmd      `cmd:"" group:"copies" help:"Make sure that providers have copies of blobs, and print the file ids there."`
	Ref       refCmd       `cmd:"" group:"copies" help:"Print the part of a request to a provider that uses a blob."`
	Ask       askCmd       `cmd:"" group:"copies" help:"Ask a model of a provider about files, and print its answer."`
	Text      textCmd      `cmd:"" group:"copies" help:"Print the text that a provider extracts from a blob."`
	Copies    copiesCmd    `cmd:"" group:"copies" help:"List, delete and repair the copies at providers."`
	Providers providersCmd `cmd:"" group:"copies" help:"Show the state of the providers, and the files that they accept."`

	Serve       serveCmd       `cmd:"" group:"gateway" help:"Run the gateway."`
	Doctor      doctorCmd      `cmd:"" group:"gateway" help:"Check configuration, index, store, clock and permissions, and say how to fix each problem."`
	Login       loginCmd       `cmd:"" group:"gateway" help:"Keep the URL of a gateway and a token in the configuration file."`
	Ops         opsCmd         `cmd:"" group:"gateway" help:"Show the journal of operations, newest first."`
	Healthcheck healthcheckCmd `cmd:"" group:"gateway" help:"Check whether the gateway is ready. For containers."`
	Token       tokenCmd       `cmd:"" group:"gateway" help:"Make, list and revoke API tokens directly in the index; a gateway does it at /v1/tokens."`
	SigningKey  signingKeyCmd  `cmd:"" group:"gateway" name:"signing-key" help:"List and rotate the keys that sign hash URLs, directly in the index."`
	Migrate     migrateCmd     `cmd:"" group:"gateway" help:"Bring the schema of the index up to date, or show its version."`

	GC       gcCmd       `cmd:"" group:"storage" name:"gc" help:"Remove the bytes of deleted blobs directly from index and store, after their grace period."`
	Scrub    scrubCmd    `cmd:"" group:"storage" help:"Read stored objects again, compare their digests, and repair damaged ones, directly in index and store."`
	Verify   verifyCmd   `cmd:"" group:"storage" help:"Read the objects of some blobs again, and compare their digests."`
	Export   exportCmd   `cmd:"" group:"storage" help:"Write everything that the index knows, as JSON lines, directly from the index."`
	Reindex  reindexCmd  `cmd:"" group:"storage" help:"Make a lost index again, directly from the store and a file of cas export."`
	Import   importCmd   `cmd:"" group:"storage" help:"Register the files of an old file manager directly in the index. Their bytes stay where they are."`
	Backfill backfillCmd `cmd:"" group:"storage" help:"Copy the bytes of imported files directly into index and store."`

	Help       helpCmd       `cmd:"" group:"command" help:"Show the help of a command."`
	Completion completionCmd `cmd:"" group:"command" help:"Print a script that completes commands and flags in a shell."`
	Version    versionCmd    `cmd:"" group:"command" help:"Print the version."`

	PrintVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

// groups are the groups of commands in the help.
var groups = []kong.Group{
	{Key: "files", Title: "Files and blobs:"},
	{Key: "copies", Title: "Copies and providers:"},
	{Key: "gateway", Title: "Gateway:"},
	{Key: "storage", Title: "Index and store, directly:"},
	{Key: "command", Title: "The command itself:"},
}

// grammar returns what args are parsed into: the command that their first names, or else
// all commands. To prepare all of them takes half of the time of a short command.
func grammar(args []string) any {
	if len(args) > 0 {
		if field, ok := commandField(reflect.TypeFor[cli](), args[0]); ok {
			return reflect.New(reflect.StructOf([]reflect.StructField{field})).Interface()
		}
	}
	return new(cli)
}

// newParser returns the parser of a grammar.
func newParser(grammar any, std terminal.Streams, more ...kong.Option) (*kong.Kong, error) {
	options := []kong.Option{
		kong.Name("cas"),
		kong.Description("casgate keeps every file once, under its SHA-256, and gives it back by hash URL."),
		kong.Exit(func(int) {}), // the caller decides
		kong.UsageOnError(),
		kong.Writers(std.Out, std.Err),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: terminal.Width(std.Out)}), // kong wraps at 80 by itself
		kong.ValueFormatter(describeValue),
		kong.ExplicitGroups(groups),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), duration.Mapper()),
		kong.KindMapper(reflect.Bool, settings.BoolMapper{}),
		kong.Vars{"data_dir": settings.DefaultDataDir(), "version": versionLine()},
		kong.Bind(std),
	}
	return kong.New(grammar, append(options, more...)...)
}

// checkText refuses arguments that are not UTF-8: the parser would replace their bytes, and
// then not find the file of that name.
func checkText(args []string) error {
	for _, arg := range args {
		if !utf8.ValidString(arg) {
			return exit.Usagef("the argument %q is not valid UTF-8; rename the file, or give its bytes on standard input: `cas put --name NAME - < FILE`", arg)
		}
	}
	return nil
}

// run is main without global state. It returns the exit code.
func run(ctx context.Context, args []string, std terminal.Streams) int {
	args = asFlag(args)
	out := &terminal.NotedWriter{Writer: std.Out}
	std.Out = out
	if len(args) > 0 && args[0] == completeCommand {
		return complete(std, args[1:])
	}
	misused := func(err error) int {
		if asksForJSON(args) {
			printFailedJSON(std, err)
		}
		terminal.Fail(std.Err, err)
		return exit.Usage
	}
	if err := cmp.Or(checkCommand(args), checkText(args)); err != nil {
		return misused(err)
	}
	exited := -1
	parser, err := newParser(grammar(args), std,
		kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)),
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
		// The usage of all commands would hide the error.
		if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil && e.Context.Selected() != nil {
			e.Context.Stdout = std.Err // standard output is for results only
			_ = e.Context.PrintUsage(true)
		}
		return misused(explainUsage(err, args))
	}
	if err := cmp.Or(settings.CheckNumbers(command.Selected()), settings.LoadSecrets(command.Selected())); err != nil {
		return misused(err)
	}
	err = command.Run()
	code := report.ExitCode(ctx, err)
	if err != nil && !errors.Is(err, exit.ErrReported) && !out.IsWritten() && printsJSON(command.Selected()) {
		printFailedJSON(std, err)
	}
	switch {
	case code == exit.Interrupted:
		std.Interrupted(explanation(err))
	case err != nil && !errors.Is(err, exit.ErrReported):
		terminal.Fail(std.Err, err)
	}
	return code
}

// failedJSON is the JSON of a command that failed before it had a result.
type failedJSON struct {
	Error *report.JSONError `json:"error"`
}

func printFailedJSON(std terminal.Streams, err error) {
	if printErr := terminal.PrintJSON(std.Out, failedJSON{report.NewJSONError(err)}); printErr != nil {
		terminal.Fail(std.Err, printErr)
	}
}

// asksForJSON reports whether arguments that could not be parsed ask for JSON.
func asksForJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

// printsJSON reports whether a command has --json.
func printsJSON(command *kong.Node) bool {
	i := slices.IndexFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "json" })
	return i >= 0 && command.Flags[i].Target.Bool()
}

// explanation is what a command says about its interruption, beside that.
func explanation(err error) string {
	if e, ok := errors.AsType[*exit.Error](err); ok && !errors.Is(err, exit.ErrReported) {
		return e.Error()
	}
	return ""
}
