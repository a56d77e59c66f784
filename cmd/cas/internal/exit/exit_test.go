package exit

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

func TestThePageListsTheExitCodes(t *testing.T) {
	all := []int{OK, Failure, Usage, NotFound, NotAllowed, Corrupt, Unavailable, Partly, Refused, UnderWay, Differs, TooMuch, Interrupted}
	if constants := submatches(t, "exit.go", `(?m)^\t([A-Z]\w+) += `); len(constants) != len(all) {
		t.Fatalf("exit.go has the codes %v; this test knows %d", constants, len(all))
	}
	var documented []int
	for _, text := range submatches(t, "../../../../docs/reference/exit-codes.md", `(?m)^\| (\d+) \| \S`) {
		code, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		documented = append(documented, code)
	}
	if !slices.Equal(documented, all) {
		t.Errorf("docs/reference/exit-codes.md documents the exit codes %v, and there are %v", documented, all)
	}
}

// submatches returns what the group of a pattern matches in a file.
func submatches(t *testing.T, path, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		found = append(found, string(match[1]))
	}
	return found
}
