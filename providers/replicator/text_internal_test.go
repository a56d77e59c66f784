package replicator

import (
	"testing"

	"casgate/providers/ledger"
)

// A text is named after its document.
func TestTextName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"report.pdf": "report.txt", "Report v1.2": "Report v1.2.txt", "a.b.docx": "a.b.txt", "plain": "plain.txt", "": "",
	} {
		if got := textName(ledger.Copy{Name: name}); got != want {
			t.Errorf("the text of %q is named %q, want %q", name, got, want)
		}
	}
}
