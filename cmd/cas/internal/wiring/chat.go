package wiring

import (
	"fmt"
	"os"
	"strings"

	"github.com/go-json-experiment/json"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/settings"
	"casgate/gateway"
)

// ChatOptions returns the options of requests to models.
func ChatOptions(c settings.Chat) (gateway.ChatOptions, error) {
	o := gateway.ChatOptions{
		Off: c.ChatMode == "off", PassInline: c.ChatInline == "pass", Keep: c.ChatKeep, AnswerTimeout: c.ChatTimeout,
		MaxBody: int64(c.ChatMaxBody), Memory: int64(c.ChatMemory),
	}
	var err error
	if c.ModelsFile != "" {
		o.Aliases, err = readAliases(c.ModelsFile)
	}
	return o, exit.With(exit.Usage, err)
}

// readAliases reads a file with further names of models.
func readAliases(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CAS_MODELS_FILE: %w", err)
	}
	var file struct {
		Aliases map[string]string `json:"aliases"`
	}
	// A second alias of the same name is an error: one of both would be lost.
	if err := json.Unmarshal(text, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf(`CAS_MODELS_FILE: %s is not JSON such as {"aliases":{"gpt-4o":"kimi/kimi-k2.6"}}: %w`, path, err)
	}
	for alias, model := range file.Aliases {
		if provider, name, ok := strings.Cut(model, "/"); alias == "" || !ok || provider == "" || name == "" {
			return nil, fmt.Errorf("CAS_MODELS_FILE: %s: the alias %q stands for %q; it must be provider/model", path, alias, model)
		}
	}
	return file.Aliases, nil
}
