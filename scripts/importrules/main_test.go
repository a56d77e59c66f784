package main

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		from, path string
		ok         bool
	}{
		{"cas", "crypto/sha256", true},
		{"cas", "github.com/rs/zerolog", true},
		{"cas", "github.com/dgraph-io/ristretto/v2", true},
		{"cas", "casgate/providers", false},
		{"cas", "casgate/cas/access", false},
		{"cas/access", "casgate/cas", true},
		{"cas/castest", "casgate/cas", true},
		{"cas/folderstore", "casgate/cas/castest", false},
		{"cas/s3store", "github.com/minio/minio-go/v7/pkg/credentials", true},
		{"cas/folderstore", "github.com/minio/minio-go/v7", false},
		{"cas/folderstore", "github.com/dgraph-io/ristretto/v2", false},
		{"providers", "casgate/cas", true},
		{"providers", "casgate/index", false},
		{"providers", "casgate/providers/ledger", false},
		{"providers/ledger", "casgate/providers", true},
		{"providers/ledger", "casgate/providers/replicator", false},
		{"providers/replicator", "casgate/providers/ledger", true},
		{"providers/replicator", "casgate/providers/kimi", false},
		{"providers/replicator", "casgate/index", false},
		{"providers/kimi", "casgate/providers/ledger", false},
		{"providers/kimi", "casgate/providers/openaicompat", true},
		{"providers/kimi", "casgate/providers/glm", false},
		{"providers/kimi", "casgate/providers/simulator/kimisim", false},
		{"providers/providertest", "casgate/providers/simulator", true},
		{"providers/providertest", "casgate/providers/kimi", false},
		{"providers/simulator/kimisim", "casgate/providers/simulator", true},
		{"providers/simulator/kimisim", "casgate/providers/providertest", false},
		{"providers/simulator/kimisim", "casgate/providers/kimi", false},
		{"providers/simulator", "casgate/providers/providertest", false},
		{"providers/guard", "casgate/providers", true},
		{"providers/guard", "casgate/providers/openaicompat", false},
		{"index", "casgate/index/pgindex", false},
		{"index", "github.com/dgraph-io/ristretto/v2", true},
		{"index/pgindex", "casgate/migrations/postgres", true},
		{"index/pgindex", "casgate/gateway", false},
		{"index/pgindex", "casgate/index/sqliteindex", false},
		{"index/pgindex", "github.com/jackc/pgx/v5/pgxpool", true},
		{"index/pgindex/pgtest", "github.com/jackc/pgx/v5", true},
		{"index/pgindex/pgtest", "casgate/cas/castest", true},
		{"cas/s3store/s3test", "casgate/cas/castest", true},
		{"index/sqliteindex", "github.com/jackc/pgx/v5", false},
		{"index/sqliteindex", "modernc.org/sqlite", true},
		{"gateway", "github.com/labstack/echo/v4/middleware", true},
		{"gateway", "casgate/providers", true},
		{"gateway", "casgate/providers/kimi", false},
		{"gateway", "casgate/cas/folderstore", false},
		{"gateway", "github.com/jackc/pgx/v5", false},
		{"gateway", "casgate/gateway/blobapi", true},
		{"gateway/blobapi", "casgate/gateway/respond", true},
		{"gateway/blobapi", "casgate/gateway/fileapi", false},
		{"gateway/blobapi", "casgate/gateway", false},
		{"gateway/blobapi", "casgate/gateway/send", false},
		{"gateway/request", "casgate/gateway/respond", false},
		{"gateway/send", "casgate/gateway/request", false},
		{"gateway/send", "github.com/labstack/echo/v4", false},
		{"gateway/view", "github.com/labstack/echo/v4", false},
		{"gateway/api", "github.com/labstack/echo/v4", false},
		{"gateway/client", "github.com/labstack/echo/v4", false},
		{"gateway/client", "casgate/gateway/api", true},
		{"gateway/client", "casgate/gateway", false},
		{"cmd/cas", "casgate/cmd/cas/internal/wiring", true},
		{"cmd/cas", "casgate/index/pgindex", false},
		{"cmd/cas/internal/terminal", "casgate/cas", false},
		{"cmd/cas/internal/transfer", "casgate/cmd/cas/internal/wiring", false},
		{"cmd/cas/internal/wiring", "casgate/index/pgindex", true},
		{"cmd/cas/internal/wiring", "casgate/cas/castest", false},
		{"cmd/cas/internal/wiring", "casgate/providers/simulator/glmsim", true},
		{"cmd/cas/internal/wiring", "casgate/providers/guard", true},
		{"cmd/cas/internal/wiring", "casgate/providers/providertest", false},
		{"cmd/cas", "github.com/labstack/echo/v4", false},
		{"scripts/bench", "casgate/cas/s3store", true},
		{"scripts/bench", "github.com/minio/minio-go/v7", true},
		{"newcomer", "casgate/cas", false},
	} {
		got := check([]pkg{{ImportPath: module + "/" + test.from, Imports: []string{"fmt", test.path}}})
		switch {
		case test.ok && len(got) > 0:
			t.Errorf("forbidden, but it should be allowed: %s", got)
		case !test.ok && len(got) != 1:
			t.Errorf("%s imports %s: allowed, but it should be forbidden", test.from, test.path)
		case !test.ok && (!strings.HasPrefix(got[0], test.from+" imports ") || strings.HasSuffix(got[0], ": ")):
			t.Errorf("the violation names no importer, or no reason: %q", got[0])
		}
	}
}

// A package whose name merely begins like another's is another package.
func TestMatches(t *testing.T) {
	for pattern, path := range map[string]string{
		"cas/...":     "castle",
		"cas":         "cas/access",
		"gateway/api": "gateway/apis",
	} {
		if matches(pattern, path) {
			t.Errorf("pattern %q matches %q", pattern, path)
		}
	}
}
