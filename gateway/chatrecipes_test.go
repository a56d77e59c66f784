package gateway_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cas/castest"
)

// recipePage returns docs/chat-recipes.md.
func recipePage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/chat-recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// recipes returns the programs in a language of docs/chat-recipes.md.
func recipes(t *testing.T, language string) []string {
	t.Helper()
	var found []string
	for _, block := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(recipePage(t), -1) {
		found = append(found, block[1])
	}
	return found
}

const recipePDF = "%PDF-1.7\n\x00\xff of a recipe"

// wantSeen checks that a simulated model has answered, and got some bytes.
func wantSeen(t *testing.T, answer string, content string) {
	t.Helper()
	if d := cas.DigestOf([]byte(content)); !strings.Contains(answer, "SIMULATED") || !strings.Contains(answer, d.String()) {
		t.Errorf("%s is not in the answer: %s", d, answer)
	}
}

// TestChatRecipesOfCurl sends the bodies of the recipes for curl.
func TestChatRecipesOfCurl(t *testing.T) {
	t.Parallel()
	s, _, _ := startChain(t, embedded(t, t.TempDir()))
	ask := func(body string) string {
		t.Helper()
		if !json.Valid([]byte(body)) {
			t.Fatalf("no JSON: %s", body)
		}
		a := s.ask(body)
		if a.StatusCode != 200 {
			t.Fatalf("%d %s", a.StatusCode, a.body)
		}
		return string(a.body)
	}
	body := regexp.MustCompile(`(?s) -d '(\{.*\})'`).FindStringSubmatch(strings.Join(recipes(t, "console"), "\n"))
	if body == nil {
		t.Fatal("there is no recipe for curl")
	}
	file := s.newFile("report.pdf", recipePDF)
	chat := strings.ReplaceAll(body[1], "'$FILE'", file.ID)
	wantSeen(t, ask(chat), recipePDF)
	other := regexp.MustCompile("`(\"model\": \"glm/[^`]*)`").FindStringSubmatch(recipePage(t))
	if other == nil {
		t.Fatal("there is no recipe for another provider")
	}
	wantSeen(t, ask(strings.ReplaceAll(chat, `"model": "kimi/kimi-k2.6"`, other[1])), recipePDF)

	image := pngStart + "an image"
	d := s.putNamed(image, "photo.png")
	parts := recipes(t, "json")
	if len(parts) != 1 {
		t.Fatalf("%d parts", len(parts))
	}
	part := regexp.MustCompile(`sha256:[0-9a-f]{64}`).ReplaceAllString(parts[0], d.String())
	wantSeen(t, ask(chatOf("kimi/kimi-k2.6", part, `{"type":"text","text":"What is it?"}`)), image)
}

// TestChatRecipesOfNode runs the recipes for Node as they stand, except for the gateway's URL
// and the id of a file.
func TestChatRecipesOfNode(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("it installs packages, and takes some seconds; make test runs it")
	}
	modules := castest.NodeModules(t, chatSuite)
	s, _, _ := startChain(t, embedded(t, t.TempDir()))
	picture := pngStart + strings.Repeat("a picture ", 10_000)
	file := s.newFile("report.pdf", recipePDF)
	programs := recipes(t, "js")
	if len(programs) != 3 {
		t.Fatalf("%d programs", len(programs))
	}
	for i, program := range programs {
		dir := t.TempDir()
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		program = strings.ReplaceAll(program, "http://127.0.0.1:8080", s.url)
		program = strings.ReplaceAll(program, "'file-…'", fmt.Sprintf("'%s'", file.ID))
		content := recipePDF
		if strings.Contains(program, "photo.png") {
			content = picture
		}
		if !strings.Contains(program, "import { generateText }") && strings.Contains(program, "generateText") {
			program = "import { generateText } from 'ai';\n" + program // as the recipe before it does
		}
		if strings.Contains(program, "{ text }") {
			program += "console.log(text);\n"
		}
		program = "import * as buffer from 'node:buffer';\nglobalThis.File ??= buffer.File;\n" + program // Node before 20 has it there alone
		for name, text := range map[string]string{"recipe.mjs": program, "report.pdf": recipePDF, "photo.png": picture} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		node := exec.CommandContext(t.Context(), "node", "recipe.mjs")
		node.Dir, node.Env = dir, append(os.Environ(), "CAS_TOKEN="+s.token)
		out, err := node.CombinedOutput()
		if err != nil {
			t.Errorf("program %d: %v\n%s", i+1, err, out)
			continue
		}
		wantSeen(t, string(out), content)
	}
}
