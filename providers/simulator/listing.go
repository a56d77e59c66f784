package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// ListEdit changes the entry of a file in the answers of a list.
type ListEdit func(entry map[string]any)

// WithoutSizes removes the size from each entry.
func WithoutSizes(entry map[string]any) {
	for _, name := range []string{"bytes", "size", "size_bytes", "sizeBytes"} {
		delete(entry, name)
	}
}

// WithPurpose gives each entry a purpose, whatever the file's own is.
func WithPurpose(purpose string) ListEdit {
	return func(entry map[string]any) { entry["purpose"] = purpose }
}

// EditLists changes the entries of all later lists. No edits end that.
func (c Control) EditLists(edits ...ListEdit) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.core.listEdits = edits
}

// edited returns the answer of a list after all edits.
func (c *Core) edited(a Answer) Answer {
	c.mu.Lock()
	edits := c.listEdits
	c.mu.Unlock()
	if len(edits) == 0 || a.Status != http.StatusOK {
		return a
	}
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.UseNumber()
	var list map[string]any
	if err := decoder.Decode(&list); err != nil {
		panic(fmt.Sprintf("a simulator's list: %v", err)) // the simulator made it
	}
	for _, name := range []string{"data", "files"} {
		entries, ok := list[name].([]any)
		if !ok {
			continue
		}
		for _, entry := range entries {
			if file, ok := entry.(map[string]any); ok {
				for _, edit := range edits {
					edit(file)
				}
			}
		}
	}
	changed := JSON(a.Status, list)
	changed.Header = a.Header
	return changed
}
