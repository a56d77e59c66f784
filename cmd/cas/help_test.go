package main

import (
	"bytes"
	"context"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
	"casgate/cmd/cas/internal/wiring"
)

// silentStreams drop what is written.
var silentStreams = terminal.Streams{Out: io.Discard, Err: io.Discard}

// commands returns the commands that do something, with their words.
func commands(t *testing.T) map[string]*kong.Node {
	t.Helper()
	parser, err := newParser(new(cli), silentStreams)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*kong.Node{}
	for _, node := range parser.Model.Leaves(true) {
		all[commandPath(node)] = node
	}
	return all
}

// helpOf returns what --help prints.
func helpOf(t *testing.T, command string) string {
	t.Helper()
	var out bytes.Buffer
	if code := run(context.Background(), append(strings.Fields(command), "--help"), terminal.Streams{Out: &out, Err: &out}); code != exit.OK {
		t.Errorf("cas %s --help exits with %d", command, code)
	}
	return out.String()
}

// words splits a line as a shell does, as far as the examples need it: quotes, comments,
// pipes and redirections.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 { // quoted
			all = append(all, part)
			continue
		}
		for _, word := range strings.Fields(part) {
			if strings.HasPrefix(word, "#") || strings.ContainsAny(word, "|<>&") {
				return all
			}
			all = append(all, word)
		}
	}
	return all
}

// Each command has examples in its help, and the parser takes each of them.
func TestEveryCommandHasExamples(t *testing.T) {
	all := commands(t)
	for path := range all {
		if len(examples[path]) == 0 {
			t.Errorf("cas %s has no example", path)
		}
		help := helpOf(t, path)
		for _, line := range examples[path] {
			if !strings.Contains(help, line) {
				t.Errorf("cas %s --help lacks the example %q", path, line)
			}
		}
	}
	for path, lines := range examples {
		if all[path] == nil {
			t.Errorf("there are examples of %q, which is no command", path)
			continue
		}
		for _, line := range lines {
			checkExample(t, path, line)
		}
	}
}

func checkExample(t *testing.T, path, line string) {
	t.Helper()
	_, command, found := strings.Cut(" "+strings.ReplaceAll(line, "<(", " "), " cas ")
	if !found {
		t.Errorf("the example %q of %s has no command", line, path)
		return
	}
	args := words(strings.TrimSuffix(command, ")"))
	parser, err := newParser(grammar(args), silentStreams)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Errorf("cas %s: the example %q: %v", path, line, err)
		return
	}
	if got := commandPath(parsed.Selected()); got != path {
		t.Errorf("the example %q of %s is one of %s", line, path, got)
	}
}

// cas serve --help has every setting of a gateway, with its default, and the variables of
// the providers.
func TestServeHelpHasAllSettings(t *testing.T) {
	help := strings.Join(strings.Fields(helpOf(t, "serve")), " ") // without line breaks
	node := commands(t)["serve"]
	for _, flag := range node.Flags {
		if !strings.Contains(help, "--"+flag.Name) && !strings.Contains(help, "--[no-]"+flag.Name) {
			t.Errorf("the help lacks --%s", flag.Name)
		}
		for _, variable := range flag.Envs {
			if !strings.Contains(help, "$"+variable) {
				t.Errorf("the help lacks %s", variable)
			}
		}
		if shown := flag.FormatPlaceHolder(); flag.Default != "" && !flag.IsBool() && !strings.Contains(help, "--"+flag.Name+"="+flag.Default) &&
			!strings.Contains(help, "--"+flag.Name+"="+shown) {
			t.Errorf("the help lacks the value of --%s", flag.Name)
		} else if flag.PlaceHolder != "" && flag.Default != "" && !strings.Contains(help, "Default: "+flag.Default+".") {
			t.Errorf("the help lacks the default %s of --%s", flag.Default, flag.Name)
		}
	}
	known := map[string]bool{}
	addVariables(known, reflect.TypeFor[serveCmd]())
	for variable := range known {
		if base := strings.TrimSuffix(variable, "_FILE"); !strings.Contains(help, base) {
			t.Errorf("the help lacks %s", base)
		}
	}
	for _, setting := range wiring.ProviderSettings() {
		if !strings.Contains(help, setting.Example()) {
			t.Errorf("the help lacks the setting %s of providers", setting.Name)
		}
	}
	for _, name := range wiring.ProviderNames() {
		if !strings.Contains(help, name) {
			t.Errorf("the help lacks the provider %s", name)
		}
	}
}

// Commands with a result have --json. These have none, or print bytes that are no result of
// their own.
func TestCommandsWithResultsHaveJSON(t *testing.T) {
	without := map[string]bool{"serve": true, "mcp": true, "help": true, "completion": true}
	for path, node := range commands(t) {
		has := false
		for _, flag := range node.Flags {
			has = has || flag.Name == "json"
		}
		if has == without[path] {
			t.Errorf("cas %s: --json is %t", path, has)
		}
	}
}

// A provider is named by --provider everywhere. The earlier names still work.
func TestProviderFlags(t *testing.T) {
	for _, args := range [][]string{
		{"put", "--providers=kimi", "x"}, {"put", "--provider=kimi", "x"}, {"file", "put", "--providers=kimi", "x"}, {"upload-url", "--providers=kimi", "x"},
		{"sync", "--to=kimi", "x"}, {"sync", "--provider=kimi", "x"}, {"copies", "rm", "--from=kimi", "file-k3v7hq2m5x4d6n8p9r2s4t6w8y"},
		{"copies", "lost", "--at=kimi", "9f86d081"}, {"file", "get", "--from=kimi", "file-k3v7hq2m5x4d6n8p9r2s4t6w8y"}, {"file", "rm", "--at=kimi", "file-k3v7hq2m5x4d6n8p9r2s4t6w8y"},
	} {
		parser, err := newParser(grammar(args), silentStreams)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil {
			t.Errorf("cas %q: %v", args, err)
		}
	}
	for path, node := range commands(t) {
		for _, flag := range node.Flags {
			switch flag.Name {
			case "providers", "to", "at":
				t.Errorf("cas %s has --%s; the flag is --provider", path, flag.Name)
			}
		}
	}
}

// What a variable turns on, a flag can turn off.
func TestFlagsWithAVariableCanBeNegated(t *testing.T) {
	for path, node := range commands(t) {
		for _, flag := range node.Flags {
			if flag.IsBool() && len(flag.Envs) > 0 && flag.Tag.Negatable == "" {
				t.Errorf("cas %s has --%s, and no --no-%[2]s", path, flag.Name)
			}
		}
	}
}

func TestCompletionCandidates(t *testing.T) {
	parser, err := newParser(new(cli), silentStreams)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"pu": "put", "file r": "rm", "copies ": "ls rm lost reconcile move-account", "help copies re": "reconcile", "help help ": "",
		"put --pro": "--profile --provider", "serve --log-format j": "json", "serve --log-format json --log-f": "--log-format",
		"put x": "", "completion ": "bash zsh fish", "get -o f": "", "nonsense": "",
		"serve --auth=": "--auth=tokens --auth=none", "serve --auth=n": "--auth=none", "serve --auth =": "tokens none", "serve --auth = n": "none", "put --name=": "", "put --nonsense=": "",
	} {
		if got := strings.Join(candidates(parser.Model.Node, strings.Split(line, " ")), " "); got != want {
			t.Errorf("after %q come %q, want %q", line, got, want)
		}
	}
}
