package main

import (
	"cmp"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/wiring"
)

// updateVariable, set to 1, makes the test write the pages instead of comparing them.
const updateVariable = "CAS_TEST_UPDATE"

const referenceFolder = "../../docs/reference/"

// The pages of settings and commands are those that the code gives.
func TestReference(t *testing.T) {
	for name, want := range map[string]string{"settings.md": settingsPage(t), "commands.md": commandsPage(t)} {
		if os.Getenv(updateVariable) == "1" {
			if err := os.WriteFile(referenceFolder+name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(referenceFolder + name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/reference/%s is not what the code gives; `%s=1 go test -run TestReference ./cmd/cas` writes it again", name, updateVariable)
		}
	}
}

const generated = "<!-- Made from the code: `CAS_TEST_UPDATE=1 go test -run TestReference ./cmd/cas` writes this page. -->\n\n"

// cell escapes a text for a cell of a table.
func cell(text string) string {
	text = strings.ReplaceAll(text, settings.DefaultDataDir(), "(the data folder)")
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ").Replace(text)
}

// settingsOf returns the rows of the settings of a command: flags with a variable, and
// secrets.
func settingsOf(node *kong.Node) []string {
	var rows []string
	for _, flag := range node.Flags {
		if len(flag.Envs) == 0 {
			continue
		}
		usual := flag.Default
		if flag.IsBool() {
			usual = cmp.Or(usual, "false")
		}
		rows = append(rows, fmt.Sprintf("| `%s` | `--%s` | %s | %s |", flag.Envs[0], flag.Name, code(cell(usual)), cell(flag.Help)))
	}
	rows = append(rows, secretRows(node.Target.Type())...)
	slices.Sort(rows)
	return rows
}

func secretRows(of reflect.Type) []string {
	var rows []string
	for _, field := range secretsOf(of) {
		rows = append(rows, fmt.Sprintf("| `%s` | (secret) | | %s. |", field.Tag.Get("secret"), cell(field.Tag.Get("help"))))
	}
	return rows
}

// secretsOf returns the fields of a command that are secrets.
func secretsOf(of reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Tag.Get("secret") != "" {
			fields = append(fields, field)
		} else if field.Anonymous && field.Type.Kind() == reflect.Struct {
			fields = append(fields, secretsOf(field.Type)...)
		}
	}
	return fields
}

func code(text string) string {
	if text == "" || strings.HasPrefix(text, "(") {
		return text
	}
	return "`" + text + "`"
}

func settingsPage(t *testing.T) string {
	t.Helper()
	all := commands(t)
	var b strings.Builder
	b.WriteString("# Settings\n\n" + generated)
	b.WriteString(`Each setting is an environment variable; those that are no secrets are flags, too, and a flag wins. A secret comes only from the environment, or from a disk
file: for ` + "`CAS_TOKEN`, set `CAS_TOKEN_FILE`" + ` to its path, and so on. Durations are such as ` + "`30s`, `15m`, `24h` or `7d`, and sizes such as `64MiB` or `5GB`" + `.
What is on or off, or true or false, takes either pair of words, and yes, no, 1 and 0. A variable whose
name begins with ` + "`CAS_`" + ` and is none of these is likely a typing error: ` + "`cas serve` and `cas doctor`" + ` warn of it.

`)
	table := "| variable | flag | default | meaning |\n|---|---|---|---|\n"
	b.WriteString("## The gateway\n\n" + table + strings.Join(settingsOf(all["serve"]), "\n") + "\n\n")
	b.WriteString("## Each provider\n\nThe names of another provider have its name in place of `KIMI`: " + strings.ToUpper(strings.Join(wiring.ProviderNames(), ", ")) + ".\n\n| variable | default | meaning |\n|---|---|---|\n")
	for _, s := range wiring.ProviderSettings() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Example(), cell(s.Default), cell(s.Help))
	}
	b.WriteString("\n## The client commands\n\n" + table + strings.Join(settingsOf(all["put"]), "\n") + "\n")
	fmt.Fprintf(&b, "| `%s` | | `casgate/config.json` in the user's configuration folder | The file in which `cas login` keeps URLs and tokens. |\n", settings.ConfigVariable)
	known := map[string]bool{}
	for _, path := range []string{"serve", "put"} {
		for _, row := range settingsOf(all[path]) {
			known[row] = true
		}
	}
	b.WriteString("\n## Single commands\n\n| command | variable | flag | default | meaning |\n|---|---|---|---|---|\n")
	for _, path := range slices.SortedFunc(keys(all), cmp.Compare) {
		for _, row := range settingsOf(all[path]) {
			if !known[row] {
				fmt.Fprintf(&b, "| `cas %s` %s\n", path, row)
			}
		}
	}
	return b.String()
}

func keys(all map[string]*kong.Node) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range all {
			if !yield(key) {
				return
			}
		}
	}
}

func commandsPage(t *testing.T) string {
	t.Helper()
	parser, err := newParser(new(cli), silentStreams)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# Commands\n\n" + generated)
	b.WriteString("Results go to standard output, everything else to standard error. [Exit codes](exit-codes.md) say what went wrong. A blob is named by its digest, with or without `sha256:`, " +
		"by the first 8 digits of it or more, or by its hash URL; a file at the gateway by its id, `file-…`; any other text is a file on this machine. `cas help COMMAND` prints what this page has.\n")
	for _, group := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| command | does |\n|---|---|\n", strings.TrimSuffix(group.Title, ":"))
		var nodes []*kong.Node
		for _, node := range parser.Model.Leaves(true) {
			if g := node.ClosestGroup(); g != nil && g.Key == group.Key {
				nodes = append(nodes, node)
				fmt.Fprintf(&b, "| [`cas %s`](#cas-%s) | %s |\n", commandPath(node), strings.ReplaceAll(commandPath(node), " ", "-"), cell(node.Help))
			}
		}
		for _, node := range nodes {
			writeCommand(&b, node)
		}
	}
	return b.String()
}

func writeCommand(b *strings.Builder, node *kong.Node) {
	fmt.Fprintf(b, "\n### cas %s\n\n%s", commandPath(node), node.Help)
	if node.Detail != "" {
		fmt.Fprintf(b, "\n\n%s", node.Detail)
	}
	fmt.Fprintf(b, "\n\n```console\n")
	for _, line := range examples[commandPath(node)] {
		fmt.Fprintf(b, "$ %s\n", line)
	}
	fmt.Fprintf(b, "```\n\n")
	for _, arg := range node.Positional {
		fmt.Fprintf(b, "- `%s`: %s\n", arg.Summary(), cell(arg.Help))
	}
	for _, flag := range node.Flags {
		if flag.Name == "help" || flag.Hidden {
			continue
		}
		name := "--" + flag.Name
		if flag.Short != 0 {
			name = "-" + string(flag.Short) + ", " + name
		}
		text := cell(flag.Help)
		if flag.Default != "" {
			text += " Default: " + code(cell(flag.Default)) + "."
		}
		fmt.Fprintf(b, "- `%s`: %s\n", name, text)
	}
	var secrets []string
	for _, field := range secretsOf(node.Target.Type()) {
		secrets = append(secrets, "`"+field.Tag.Get("secret")+"`")
	}
	if len(secrets) > 0 {
		fmt.Fprintf(b, "- Secrets, [only from the environment or a file](settings.md): %s\n", strings.Join(secrets, ", "))
	}
}
