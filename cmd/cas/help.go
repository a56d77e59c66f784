package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
)

// helpCmd is `cas help COMMAND`. The command asFlag turns it into `cas COMMAND --help`, so
// that it never runs.
type helpCmd struct {
	Command []string `arg:"" optional:"" name:"command" help:"The command, such as put or file put; all commands if empty."`
}

// Run does nothing.
func (helpCmd) Run() error { return nil }

// asFlag returns the arguments of `cas COMMAND --help` for `cas help COMMAND`.
func asFlag(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	words := strings.Fields(strings.Join(args[1:], " "))    // also of cas help "file put"
	if len(words) > 0 && strings.HasPrefix(words[0], "-") { // cas help --help
		return args
	}
	return append(words[:len(words):len(words)], "--help")
}

// synonyms are the names that other programs have for a command.
var synonyms = map[string]string{
	"delete": "rm", "remove": "rm", "del": "rm",
	"list": "ls", "dir": "ls",
	"upload": "put", "add": "put", "store": "put", "push": "put", "cp": "put",
	"download": "get", "fetch": "get", "cat": "get", "pull": "get",
	"info": "stat", "show": "stat", "head": "stat",
	"has": "exists", "check": "exists",
	"size": "du", "usage": "du", "df": "du",
	"share": "url", "sign": "url", "presign": "url", "link": "url",
	"copy": "sync", "mirror": "sync", "chat": "ask", "extract": "text", "reference": "ref",
	"server": "serve", "start": "serve", "run": "serve", "daemon": "serve",
	"journal": "ops", "operations": "ops", "log": "ops", "logs": "ops", "history": "ops",
	"health": "healthcheck", "ping": "healthcheck", "status": "healthcheck",
	"tokens": "token", "keys": "signing-key", "provider": "providers", "files": "file",
	"auth": "login", "config": "login", "configure": "login",
	"collect": "gc", "prune": "gc", "clean": "gc", "fsck": "scrub", "backup": "export", "restore": "reindex",
	"diagnose": "doctor", "selftest": "doctor", "completions": "completion",
}

// checkCommand returns an error for a command that has another name here, such as delete or
// file delete. The parser reports any other unknown command, with the names that are spelled
// like it.
func checkCommand(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if ours, ok := synonyms[args[0]]; ok {
		return exit.Usagef("there is no command %s; did you mean %q? `cas help` lists all commands", args[0], ours)
	}
	if len(args) == 1 {
		return nil
	}
	ours, ok := synonyms[args[1]]
	if field, known := commandField(reflect.TypeFor[cli](), args[0]); ok && known {
		if _, ok := commandField(field.Type, ours); ok {
			return exit.Usagef("there is no command %s %s; did you mean %q? `cas help %[1]s` lists its commands", args[0], args[1], args[0]+" "+ours)
		}
	}
	return nil
}

// negative finds the number in an error of the parser, which took it for a flag.
var negative = regexp.MustCompile(`^(--[a-z-]+): expected .* value but got "(-[0-9][^"]*)"`)

// explainUsage returns the parser's error in words that help: it knows nothing of negative
// numbers, nor of files whose name begins with a dash.
func explainUsage(err error, args []string) error {
	if number := negative.FindStringSubmatch(err.Error()); number != nil {
		return fmt.Errorf("%s must not be negative, and %s is", number[1], number[2])
	}
	if strings.HasPrefix(err.Error(), "unknown flag ") {
		for _, arg := range args {
			if _, statErr := os.Lstat(arg); statErr == nil && strings.HasPrefix(arg, "-") {
				return fmt.Errorf("%s looks like a flag; write ./%[1]s for the file of this name", arg)
			}
		}
	}
	if before, after, ok := strings.Cut(err.Error(), ` must be one of "",`); ok { // "" stands for a flag that is left out
		return errors.New(before + " must be one of " + after)
	}
	return unknownCommand(err)
}

// unknownCommand returns the parser's error in other words if it is about a word in the place
// of a command.
func unknownCommand(err error) error {
	e, ok := errors.AsType[*kong.ParseError](err)
	word, isExtra := strings.CutPrefix(err.Error(), "unexpected argument ")
	if !ok || !isExtra || e.Context == nil {
		return err
	}
	group, separator := e.Context.Selected(), ";"
	if strings.HasSuffix(word, "?") { // it has a suggestion
		separator = ""
	}
	switch {
	case group == nil:
		return fmt.Errorf("there is no command %s%s `cas help` lists all commands", word, separator)
	case len(group.Children) > 0:
		name := group.Path()
		return fmt.Errorf("there is no command %s %s%s `cas help %[1]s` lists its commands", name, word, separator)
	}
	return err
}

// commandField returns the field of a command, in the struct of those that it is one of.
func commandField(commands reflect.Type, name string) (reflect.StructField, bool) {
	for _, field := range reflect.VisibleFields(commands) {
		if _, isCommand := field.Tag.Lookup("cmd"); isCommand && name == cmp.Or(field.Tag.Get("name"), strings.ToLower(field.Name)) {
			return field, true
		}
	}
	return reflect.StructField{}, false
}

// printHelp prints the help of a command: what kong knows, the secrets, the settings of the
// providers, and examples. It implements kong.HelpPrinter.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := settings.PrintHelp(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil || options.Summary {
		return nil
	}
	out := &terminal.Lines{W: ctx.Stdout}
	if takesProviders(node.Target) {
		out.Printf("\nSettings of the providers, only from the environment. The names of another provider have its name in place of %s:", strings.ToUpper(wiring.ProviderNames()[0]))
		for _, s := range wiring.ProviderSettings() {
			out.Printf("  %-28s %s", s.Example(), s.Help)
		}
		out.Printf("  Providers: %s", strings.Join(wiring.ProviderNames(), ", "))
	}
	if lines := examples[commandPath(node)]; len(lines) > 0 {
		out.Printf("\nExamples:")
		for _, line := range lines {
			out.Printf("  %s", line)
		}
	}
	return out.Err
}

// takesProviders reports whether a command has the settings of the providers.
func takesProviders(command reflect.Value) bool {
	if command.Kind() != reflect.Struct {
		return false
	}
	wanted := reflect.TypeFor[settings.DescribedProviders]()
	field, ok := command.Type().FieldByName(wanted.Name())
	return ok && field.Type == wanted
}

// commandPath returns the words of a command, such as "file put".
func commandPath(node *kong.Node) string {
	path := node.Name
	for parent := node.Parent; parent != nil && parent.Type == kong.CommandNode; parent = parent.Parent {
		path = parent.Name + " " + path
	}
	return path
}

// describeValue returns the help of a flag or argument, with its variable, and with its
// default if a placeholder hides that.
func describeValue(value *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(value)
	if value.Flag == nil || value.Flag.PlaceHolder == "" || value.Default == "" {
		return text
	}
	return fmt.Sprintf("%s Default: %s.", text, value.Default)
}
