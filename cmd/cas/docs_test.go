package main

import (
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"casgate/cas/castest"
	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/terminal"
)

// repository is the folder of the repository, from that of this package.
const repository = "../.."

// pages returns the pages for people, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", "deploy/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[path] = string(text)
		}
	}
	return all
}

var (
	links   = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	blocks  = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	invoked = regexp.MustCompile(`(?m)^\$ (?:[A-Z]+=\$\()?(?:bin/)?cas ([^|)\n]*)`)
)

// oldFlag matches a command with a flag that has another name now.
var oldFlag = regexp.MustCompile(`\bcas (?:put|sync|file (?:put|get|rm)|text|copies rm)\b[^|\n` + "`" + `]* --(?:providers|to|from|at)\b.*`)

// The pages and the demonstration name a provider as the help does.
func TestPagesUseOneFlagForProviders(t *testing.T) {
	all := pages(t)
	delete(all, filepath.Join(repository, "CHANGELOG.md"))
	demo, err := os.ReadFile(filepath.Join(repository, "scripts", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	all["scripts/demo"] = string(demo)
	for path, text := range all {
		for _, command := range oldFlag.FindAllString(text, -1) {
			t.Errorf("%s: %s", path, command)
		}
	}
}

// Each link of a page to another leads somewhere, and docs/README.md leads to every page.
func TestLinksOfThePages(t *testing.T) {
	reached := map[string]bool{}
	for path, text := range pages(t) {
		text = blocks.ReplaceAllString(text, "")
		for _, link := range links.FindAllStringSubmatch(text, -1) {
			target := link[1]
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := filepath.Join(filepath.Dir(path), filepath.FromSlash(target))
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which is not there", path, target)
			}
			if filepath.Base(path) == "README.md" {
				reached[to] = true
			}
		}
	}
	for path := range pages(t) {
		if strings.Contains(path, "/docs/") && filepath.Base(path) != "README.md" && !reached[path] {
			t.Errorf("docs/README.md does not lead to %s", path)
		}
	}
}

// The parser takes each cas command that a page shows in a console.
func TestCommandsOfThePages(t *testing.T) {
	found := 0
	for path, text := range pages(t) {
		for _, block := range blocks.FindAllStringSubmatch(text, -1) {
			if block[1] != "console" {
				continue
			}
			for _, command := range invoked.FindAllStringSubmatch(block[2], -1) {
				found++
				checkPageCommand(t, path, command[1])
			}
		}
	}
	if found < 50 {
		t.Errorf("the pages have %d commands; is the pattern right?", found)
	}
}

// namedFlag matches a flag of cas that a page names alone, without a command.
var namedFlag = regexp.MustCompile("`--([a-z][a-z0-9-]*)[^`]*`")

// Each flag that a page names alone is one that the help of a command has: not its old name.
func TestFlagsOfThePages(t *testing.T) {
	parser, err := newParser(new(cli), terminal.Streams{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	var collect func(*kong.Node)
	collect = func(n *kong.Node) {
		for _, f := range n.Flags {
			known[f.Name], known["no-"+f.Name] = true, known["no-"+f.Name] || f.Tag.Negatable != ""
		}
		for _, child := range n.Children {
			collect(child)
		}
	}
	collect(parser.Model.Node)
	found := 0
	for path, text := range pages(t) {
		if filepath.Base(path) == "CHANGELOG.md" { // what was so
			continue
		}
		for _, flag := range namedFlag.FindAllStringSubmatch(blocks.ReplaceAllString(text, ""), -1) {
			if found++; !known[flag[1]] {
				t.Errorf("%s names %s, which no command has", path, flag[0])
			}
		}
	}
	if found < 50 {
		t.Errorf("the pages name %d flags; is the pattern right?", found)
	}
}

// The parser takes each cas command that an alert advises.
func TestCommandsOfTheAlerts(t *testing.T) {
	rules, err := os.ReadFile(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("`cas ([^`]+)`").FindAllStringSubmatch(string(rules), -1)
	if len(found) < 5 {
		t.Errorf("the alerts have %d commands; is the pattern right?", len(found))
	}
	for _, command := range found {
		checkPageCommand(t, "alerts.yaml", strings.ReplaceAll(command[1], "{{ $labels.provider }}", "kimi"))
	}
}

// placeholders stand for what an earlier command printed, or what a reader fills in.
var placeholders = strings.NewReplacer(
	"sha256:…", "sha256:"+strings.Repeat("0", 64), "file-…", "file-k3v7hq2m5x4d6n8p9r2s4t6w8y", "$DIGEST", "9f86d081", "$FILE", "file-k3v7hq2m5x4d6n8p9r2s4t6w8y", `"`, "'", "$TOKEN", "token",
)

func checkPageCommand(t *testing.T, path, command string) {
	t.Helper()
	args := words(placeholders.Replace(command))
	if len(args) == 0 || strings.HasSuffix(strings.TrimSpace(command), `\`) { // the command goes on on the next line
		return
	}
	if args[0] == "help" || slices.Contains(args, "--help") {
		return // TestEveryCommandHasExamples prints the help of every command
	}
	parser, err := newParser(grammar(args), silentStreams)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Errorf("%s: cas %s: %v", path, command, err)
	}
}

// A stranger's path: every command of the README runs, in its order, from a gateway that was
// just started to a file in a simulated chat. `make run` is the start of that gateway.
func TestREADMECommands(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	began := time.Now()
	home := t.TempDir()
	data := filepath.Join(home, ".local", "share", "casgate")
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + data, "CAS_AUTH=tokens"}, "serve", "--simulate-providers"))
	t.Logf("%v: the gateway serves", time.Since(began))
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(home, "casgate")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.MkdirAll(filepath.Join(folder, "bin"), 0o700), os.WriteFile(filepath.Join(folder, "README.md"), readme, 0o600), os.Symlink(self, filepath.Join(folder, "bin", "cas"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	script := strings.ReplaceAll(consoleScript(string(readme)), "http://127.0.0.1:8080", p.url)
	ctx, cancel := context.WithTimeout(t.Context(), castest.WaitLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = folder
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "CAS_URL=" + p.url, "CAS_DATA_DIR=" + data}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nof the script\n%s", err, out, script)
	}
	t.Logf("%v: the last command of the README has ended", time.Since(began))
	for _, want := range []string{"This answer is SIMULATED", "/v1/blobs/sha256:", "kimi\t", "glm\t"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the commands print no %q:\n%s", want, out)
		}
	}
	if copied, err := os.ReadFile(filepath.Join(folder, "copy.md")); err != nil || string(copied) != string(readme) {
		t.Errorf("copy.md has %d bytes, %v", len(copied), err)
	}
}

// consoleScript returns the commands of the console blocks of a page, but make.
func consoleScript(page string) string {
	var b strings.Builder
	for _, block := range blocks.FindAllStringSubmatch(page, -1) {
		if block[1] != "console" {
			continue
		}
		open := false // a quoted argument goes on on the next line
		for line := range strings.Lines(block[2]) {
			command, isCommand := strings.CutPrefix(line, "$ ")
			if !isCommand && !open || strings.HasPrefix(command, "make ") {
				continue
			}
			open = open != (strings.Count(command, "'")%2 == 1)
			b.WriteString(command)
		}
	}
	return b.String()
}

// The Go program of docs/clients.md builds outside of this repository, as that page says,
// and runs.
func TestGoClientFromOutside(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	page, err := os.ReadFile(filepath.Join(repository, "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	var program string
	for _, block := range blocks.FindAllStringSubmatch(string(page), -1) {
		if block[1] == "go" {
			program = block[2]
		}
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + t.TempDir()}, "serve"))
	d := p.upload("a blob", "a.txt")
	for way, files := range map[string]map[string]string{ // go run, and go list, which compiles nothing again
		"run":  {"go.mod": "module example.com/my-program\n\ngo 1.26.0\n\nrequire casgate v0.0.0\n\nreplace casgate => " + root + "\n", "go.sum": string(sums)},
		"list": {"go.mod": "module example.com/my-program\n\ngo 1.26.0\n", "go.work": "go 1.26.0\n\nuse .\n\nuse " + root + "\n"},
	} {
		folder := t.TempDir()
		files["main.go"] = program
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), fs.FileMode(0o600)); err != nil {
				t.Fatal(err)
			}
		}
		args, want := []string{"run", "."}, d.String()+" 6"
		if way == "list" {
			args, want = []string{"list", "-deps", "."}, "casgate/gateway/client"
		}
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "CAS_URL="+p.url, "CAS_TOKEN=", "GOFLAGS=-trimpath", "GOPROXY=off")
		if way == "run" { // its go.mod has no indirect requirements yet
			cmd.Env = append(cmd.Env, "GOFLAGS=-trimpath -mod=mod")
		}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("go %s: %v\n%s", way, err, out)
		}
	}
}

// The log lines that the README shows are those of a gateway: their names and their values.
func TestLogLinesOfTheREADME(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^… INF serving (.*)$`).FindStringSubmatch(string(readme))
	if shown == nil {
		t.Fatal("the README shows no start of a gateway")
	}
	dir := t.TempDir()
	p := serveProcess(t, casCommand(t, []string{"CAS_DATA_DIR=" + filepath.Join(dir, "casgate"), "CAS_LOG_FORMAT=json"}, "serve"))
	log := p.log()
	for _, name := range regexp.MustCompile(`(\w+)=`).FindAllStringSubmatch(shown[1], -1) {
		if !strings.Contains(log, `"`+name[1]+`":`) {
			t.Errorf("the README shows %s=, and the log is\n%s", name[1], log)
		}
	}
	for _, value := range []string{"SQLite at ", "/casgate/" + settings.SQLiteFile, "folder ", "/casgate/" + settings.ObjectsDir} {
		if !strings.Contains(log, value) {
			t.Errorf("the README shows %q, and the log is\n%s", value, log)
		}
	}
}
