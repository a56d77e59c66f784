package main

import (
	"path/filepath"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/cmd/cas/internal/settings"
	"casgate/index/sqliteindex"
	"casgate/providers"
	"casgate/providers/ledger"
)

// An account gets a name, and the copies of its key's fingerprint move to it.
func TestMoveAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"CAS_DATA_DIR=" + dir, "CAS_KIMI_API_KEY=sk-the-present-key", "CAS_KIMI_BASE_URL=https://api.moonshot.cn/v1", "CAS_KIMI_ACCOUNT=team"}
	x, err := sqliteindex.Open(t.Context(), filepath.Join(dir, settings.SQLiteFile))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := providers.Account("kimi", "api.moonshot.cn", "sk-an-earlier-key")
	w := ledger.Wanted{
		Key:  ledger.Key{Digest: cas.DigestOf([]byte("a")), Provider: "kimi", Account: old, Purpose: "file-extract", Extension: ".txt"},
		Name: "a.txt", MediaType: "text/plain", Size: 1, OperationID: "earlier",
	}
	if _, _, err := x.Change(t.Context(), ledger.Enter(w, "file_1")); err != nil {
		t.Fatal(err)
	}
	present := w.Key
	present.Account = "kimi:team@api.moonshot.cn"
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"kimi"}, 0, "the present account of kimi is " + present.Account + "\n" + old + "\t1 copies\n"},
		{[]string{"kimi", "--from=nonsense"}, 2, "without --from the accounts are listed"},
		{[]string{"kimi", "--from=" + present.Account}, 2, "the present account already"},
		{[]string{"glm", "--from=" + old}, 6, "run the command with the gateway's settings, such as CAS_GLM_API_KEY"},
		{[]string{"nobody"}, 3, "there is no provider"},
		{[]string{"kimi", "--from=" + old, "--dry-run"}, 0, "1 copies would be moved from " + old + " to " + present.Account + "\n"},
		{[]string{"kimi", "--from=" + old, "--dry-run", "--json"}, 0, `"dry_run":true,"moved":1,"dropped":0,"in_work":[],"conflicts":[]}`},
		{[]string{"kimi", "--from=" + old}, 0, "1 copies moved from " + old + " to " + present.Account + "\n"},
		{[]string{"kimi", "--from=" + old}, 2, "there are no copies at the account"},
	} {
		cmd := casCommand(t, env, append([]string{"copies", "move-account"}, step.args...)...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != step.code || !strings.Contains(string(out), step.says) {
			t.Errorf("move-account %q: exit code %d, %s", step.args, code, out)
		}
	}
	if row, err := x.Copy(t.Context(), present); err != nil || row.FileID != "file_1" {
		t.Errorf("the row is %+v, error %v", row, err)
	}
}
