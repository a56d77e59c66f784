// Command importrules checks which package imports which in this module.
// docs/architecture.md shows the packages; the rules here are stricter. The command
// prints each violation with the rule's reason, and exits with 1 if there is one.
// `make lint` runs it.
//
// The rules do not apply to tests.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const module = "casgate"

// A pattern is a package's path, or one that ends in "/..." for the package and
// all below it, as the go command has them.

// ours says, for imports within the module, which package may import which. The
// first rule that names the importing package holds. Packages below an allowed
// one are not allowed with it, unless the pattern says so.
var ours = []struct {
	of  string
	may []string
	why string
}{
	{"cas", nil, "cas is the core, and imports nothing of ours"},
	{"cas/s3store/s3test", []string{"cas", "cas/castest", "cas/s3store"}, "test support for s3store knows what s3store knows, and the kit"},
	{"cas/s3store/s3client", nil, "a client of S3 knows nothing of blobs"},
	{"cas/s3store", []string{"cas", "cas/s3store/s3client"}, "an object store knows cas, and the client that it shares with the source"},
	{"cas/s3store/s3source", []string{"cas", "cas/importer", "cas/s3store/s3client"}, "a source knows cas, and the rows that it lists its objects as"},
	{"cas/folderstore/foldersource", []string{"cas", "cas/importer"}, "a source knows cas, and the rows that it lists its files as"},
	{"cas/tracing", nil, "spans are made of a context alone"},
	{"cas/localtier", []string{"cas", "cas/folderstore"}, "the local tier lays its copies as the folder store does, and knows no store behind it"},
	{"cas/...", []string{"cas"}, "what lies below cas knows cas alone"},
	{"providers", []string{"cas"}, "providers knows blobs, and nothing of indexes and HTTP"},
	{"providers/ledger", []string{"cas", "providers"}, "the ledger's rows name what providers return, and know no driver and no replicator"},
	{"providers/replicator", []string{"cas", "cas/tracing", "providers", "providers/ledger"}, "the replicator works on interfaces: it knows no adapter, no decorator and no index"},
	{"providers/providertest", []string{"cas", "providers", "providers/simulator"}, "a conformance kit knows no adapter, and no simulator but what they share"},
	{"providers/simulator", []string{"cas", "providers"}, "what simulators share knows no provider"},
	{"providers/simulator/...", []string{"cas", "providers", "providers/simulator"}, "a simulator is linked into the program, and so knows neither the adapter nor the kit, which imports testing"},
	{"providers/guard", []string{"cas", "cas/tracing", "providers"}, "decorators know the interface they decorate, and no adapter"},
	{"providers/...", []string{"cas", "providers", "providers/openaicompat"}, "an adapter knows blobs and the interface it implements; all may build on openaicompat"},
	{"migrations/...", []string{"migrations/..."}, "migrations are SQL files, with nothing to import"},
	{"index/sqlrow", []string{"cas", "cas/access", "cas/journal", "index/export", "providers", "providers/ledger"}, "rows are made of the types that an index stores; which driver reads them is not their concern"},
	{"index/indextest", []string{"cas", "cas/access", "cas/castest", "cas/collector", "cas/journal", "cas/reindexer", "cas/scrubber", "index", "index/export", "migrations/...", "providers", "providers/ledger"}, "a conformance kit knows no driver and no gateway"},
	{"index/pgindex/pgtest", []string{"cas", "cas/castest", "index", "index/pgindex", "migrations/..."}, "test support for pgindex knows what pgindex knows, and the kit"},
	{"index/pgindex/pgsource", []string{"cas", "cas/importer"}, "a source of rows knows what a row is, and nothing of our own index"},
	{"index/pgindex/...", []string{"cas", "cas/access", "cas/collector", "cas/journal", "cas/reindexer", "cas/scrubber", "providers", "providers/ledger", "index", "index/export", "index/sqlrow", "index/pgindex/...", "migrations/..."}, "a driver knows the types it stores and its own migrations, never the gateway or another driver"},
	{"index/sqliteindex/...", []string{"cas", "cas/access", "cas/collector", "cas/journal", "cas/reindexer", "cas/scrubber", "providers", "providers/ledger", "index", "index/export", "index/sqlrow", "index/sqliteindex/...", "migrations/..."}, "a driver knows the types it stores and its own migrations, never the gateway or another driver"},
	{"index/export", []string{"cas", "providers", "providers/ledger"}, "an export has the rows of an index, and knows no database"},
	{"index/...", []string{"cas", "cas/access", "cas/journal", "providers", "providers/ledger", "migrations/...", "index"}, "index works with whichever driver it is handed, and is below the gateway"},
	{"gateway/problem", []string{"cas", "cas/access", "providers", "providers/ledger"}, "the table of problems knows the errors that they stand for, and neither server nor client"},
	{"gateway/api", []string{"cas", "cas/access", "gateway/problem"}, "the wire shapes are shared with clients, who need nothing else"},
	{"gateway/client", []string{"gateway/api", "gateway/problem", "cas", "cas/access"}, "a client speaks HTTP, and links neither the server nor an index"},
	{"gateway/apidoc", nil, "the description of the API is a text, whatever serves it"},
	{"gateway/console", nil, "the console is a client of the public API, and knows no more than its clients"},
	{"gateway/chatbody", nil, "what reads and changes the JSON of a request knows neither files nor providers"},
	{"gateway/chatapi", []string{"cas", "cas/tracing", "cas/access", "cas/journal", "gateway/api", "gateway/chatbody", "gateway/problem", "gateway/request", "gateway/respond", "gateway/view", "providers", "providers/ledger", "providers/replicator"}, "what passes requests on to models knows no handler of another subject"},
	{"gateway/tokenapi", []string{"cas", "cas/access", "gateway/api", "gateway/problem", "gateway/request", "gateway/respond", "gateway/view"}, "handlers of tokens know no handler of another subject, and no provider"},
	{"gateway/inprocess", []string{"cas/tracing"}, "what carries requests in memory knows HTTP, and the trace that a request belongs to"},
	{"gateway/mcpserver", []string{"cas", "cas/access", "gateway/api", "gateway/client", "gateway/problem"}, "the tools of agents are a client of the gateway, wherever they run"},
	{"gateway/mcpapi", []string{"cas", "cas/access", "gateway/client", "gateway/mcpserver", "gateway/problem", "gateway/request"}, "what carries the tools over HTTP gives them the client of its caller, and no handler"},
	{"gateway/send", []string{"cas"}, "what writes blobs to connections knows bytes, and no routes"},
	{"gateway/view", []string{"cas", "cas/access", "gateway/api", "providers", "providers/ledger"}, "shapes for clients are made from values alone"},
	{"gateway/request", []string{"cas", "cas/journal", "gateway/problem"}, "what reads requests knows neither answers nor handlers"},
	{"gateway/respond", []string{"cas", "cas/tracing", "gateway/api", "gateway/problem", "gateway/request", "gateway/send", "gateway/view"}, "what writes answers knows no handler"},
	{"gateway/auth", []string{"cas", "cas/access", "cas/journal", "gateway/api", "gateway/problem", "gateway/request", "gateway/view"}, "authorization comes before all handlers, and knows none"},
	{"gateway/blobtarget", []string{"cas", "gateway/problem", "gateway/request", "providers/ledger"}, "what finds the blob of a path answers nothing"},
	{"gateway/record", []string{"cas", "cas/journal", "gateway/problem", "gateway/request", "gateway/respond", "providers", "providers/replicator"}, "what records requests knows no handler"},
	{"gateway/observe", []string{"cas", "cas/tracing", "cas/access", "cas/journal", "gateway/record", "gateway/request"}, "what surrounds all handlers knows none"},
	{"gateway/uploadcopies", []string{"cas", "gateway/api", "gateway/blobtarget", "gateway/problem", "gateway/record", "gateway/request", "gateway/respond", "providers", "providers/ledger", "providers/replicator"}, "handlers use it, and it knows none"},
	{"gateway", []string{"cas", "cas/access", "cas/journal", "gateway/...", "providers", "providers/ledger", "providers/replicator"}, "the gateway works on interfaces; only cmd/cas picks drivers and provider adapters"},
	{"gateway/...", []string{
		"cas", "cas/access", "cas/journal", "gateway/api", "gateway/blobtarget", "gateway/problem", "gateway/request", "gateway/respond", "gateway/view", "providers", "providers/ledger", "providers/replicator",
	}, "handlers of one subject know none of another, and neither the gateway nor its client; what they need, they declare as interfaces"},
	{"cmd/cas/internal/build", nil, "the name of the build depends on nothing"},
	{"cmd/cas/internal/exit", []string{"gateway/problem"}, "exit codes come from the table of problems"},
	{"cmd/cas/internal/disk", nil, "the room on a disk is a matter of the operating system"},
	{"cmd/cas/internal/duration", nil, "a duration depends on nothing"},
	{"cmd/cas/internal/terminal", nil, "output to a terminal knows neither blobs nor gateways"},
	{"cmd/cas/internal/settings", []string{"cmd/cas/internal/build", "cmd/cas/internal/exit", "cmd/cas/internal/terminal", "gateway/client"}, "settings open nothing but the client of the gateway"},
	{"cmd/cas/internal/argument", []string{"cmd/cas/internal/duration", "cmd/cas/internal/exit", "cas", "gateway/client"}, "an argument names something; it does nothing with it"},
	{"cmd/cas/internal/service", []string{"cas/access", "cmd/cas/internal/build", "cmd/cas/internal/disk", "cmd/cas/internal/exit", "cmd/cas/internal/terminal"}, "listeners, logs and metrics know the rule for local hosts, and no part of the gateway"},
	{"cmd/cas/internal/report", []string{"cmd/cas/internal/exit", "cmd/cas/internal/settings", "cmd/cas/internal/terminal", "cas", "gateway/api", "gateway/client", "gateway/problem", "providers", "providers/ledger"}, "results are those of a gateway's client"},
	{"cmd/cas/internal/localfiles", []string{"gateway/mcpserver"}, "local files of agents know the tool that asks for them, and no gateway"},
	{"cmd/cas/internal/transfer", []string{"cmd/cas/internal/argument", "cmd/cas/internal/exit", "cmd/cas/internal/report", "cmd/cas/internal/terminal", "cas", "gateway/api", "gateway/client"}, "a transfer goes through a gateway's client"},
	{"cmd/cas/internal/wiring", []string{
		"cmd/cas/internal/duration", "cmd/cas/internal/exit", "cmd/cas/internal/service", "cmd/cas/internal/settings", "cmd/cas/internal/terminal",
		"cas", "cas/access", "cas/collector", "cas/folderstore", "cas/folderstore/foldersource", "cas/importer", "cas/journal", "cas/localtier", "cas/reindexer", "cas/s3store", "cas/s3store/s3source", "cas/scrubber", "cas/tracing",
		"index", "index/export", "index/pgindex", "index/sqliteindex", "migrations/...",
		"providers", "providers/anthropic", "providers/gemini", "providers/glm", "providers/guard", "providers/kimi", "providers/ledger", "providers/openaicompat", "providers/replicator",
		"providers/simulator/anthropicsim", "providers/simulator/geminisim", "providers/simulator/glmsim", "providers/simulator/kimisim",
		"gateway", "gateway/api", "gateway/problem",
	}, "wiring knows all drivers and adapters, simulators included, but the conformance kits, which would link testing into the program"},
	{"cmd/cas/internal/importing", []string{"cmd/cas/internal/exit", "cmd/cas/internal/settings", "cmd/cas/internal/terminal", "cas", "cas/importer", "index/pgindex/pgsource"}, "an import reads an old table and its files"},
	{"cmd/cas", []string{
		"cmd/cas/internal/...",
		"cas", "cas/access", "cas/collector", "cas/importer", "cas/journal", "cas/reindexer", "cas/scrubber", "index", "index/export", "migrations", "providers", "providers/ledger", "providers/replicator",
		"gateway", "gateway/api", "gateway/client", "gateway/mcpserver", "gateway/problem", "gateway/view",
	}, "commands use what cmd/cas/internal has opened for them"},
	{"scripts/...", []string{"..."}, ""},
}

// theirs says which of our packages may import a module of others.
var theirs = []struct {
	module string
	in     []string
	except []string
	why    string
}{
	{"github.com/minio/minio-go", []string{"cas/s3store/...", "scripts/bench/...", "scripts/old-manager/..."}, nil, "S3 stays inside cas/s3store"},
	{"github.com/jackc/pgx", []string{"index/pgindex/...", "scripts/chaos/...", "scripts/indexsize", "scripts/old-manager/..."}, nil, "Postgres stays inside index/pgindex"},
	{"modernc.org/sqlite", []string{"index/sqliteindex/...", "scripts/indexsize"}, nil, "SQLite stays inside index/sqliteindex"},
	{"go.opentelemetry.io/otel/sdk", []string{"cmd/cas/internal/wiring"}, nil, "whether and where traces are sent is decided once; all others know the interface"},
	{"go.opentelemetry.io/otel/exporters", []string{"cmd/cas/internal/wiring"}, nil, "whether and where traces are sent is decided once"},
	{"github.com/exaring/otelpgx", []string{"index/pgindex"}, nil, "Postgres stays inside index/pgindex"},
	{"github.com/labstack/echo", []string{"gateway/...", "scripts/bench/..."}, []string{"gateway/api", "gateway/client", "gateway/problem", "gateway/send", "gateway/view"}, "Echo stays where the gateway's server handles requests, so that it can be exchanged"},
	{"github.com/modelcontextprotocol/go-sdk", []string{"gateway/mcpserver", "gateway/mcpapi", "cmd/cas"}, nil, "the protocol of agents stays with their tools and the two transports"},
	{"github.com/rs/cors", []string{"gateway"}, nil, "which pages may use the API is decided once, around all routes"},
	{"github.com/dgraph-io/ristretto", []string{"cas", "index", "gateway"}, nil, "hot answers are cached in cas, index and gateway, and nowhere behind their backs"},
}

func main() {
	packages, err := list()
	if err != nil {
		fmt.Fprintln(os.Stderr, "importrules:", err)
		os.Exit(1)
	}
	violations := check(packages)
	for _, violation := range violations {
		fmt.Println(violation)
	}
	if len(violations) > 0 {
		os.Exit(1)
	}
}

// pkg is what `go list` tells of a package; Imports leaves out those of tests.
// With a profile it would list each package of the command twice.
type pkg struct {
	ImportPath string
	Imports    []string
}

// list returns all packages of the module.
func list() ([]pkg, error) {
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading what go list printed: %w", err)
		}
		packages = append(packages, p)
	}
}

// check returns one line for each import that a rule forbids.
func check(packages []pkg) []string {
	var violations []string
	for _, p := range packages {
		from := local(p.ImportPath)
		for _, path := range p.Imports {
			if why, ok := allowed(from, path); !ok {
				violations = append(violations, fmt.Sprintf("%s imports %s: %s", from, local(path), why))
			}
		}
	}
	return violations
}

// allowed reports whether our package from may import path, and if not, why.
func allowed(from, path string) (why string, ok bool) {
	if path == module || strings.HasPrefix(path, module+"/") {
		for _, rule := range ours {
			if matches(rule.of, from) {
				return rule.why, matchesAny(rule.may, local(path))
			}
		}
		return "no rule names " + from + "; give it one in scripts/importrules", false
	}
	for _, rule := range theirs {
		if matches(rule.module+"/...", path) && (!matchesAny(rule.in, from) || matchesAny(rule.except, from)) {
			return rule.why, false
		}
	}
	return "", true
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, path) })
}

func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

// local returns a package's path within the module.
func local(path string) string { return strings.TrimPrefix(path, module+"/") }
