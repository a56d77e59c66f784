package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"casgate/cas"
	"casgate/cas/castest"
	"casgate/cas/s3store"
	"casgate/cas/s3store/s3test"
	"casgate/cmd/cas/internal/settings"
	"casgate/index/pgindex/pgtest"
)

// monitoring is the folder of what operators load into Prometheus and Grafana.
const monitoring = "../../deploy/monitoring/"

var metricName = regexp.MustCompile(`casgate_[a-z0-9_]+`)

// Every metric that the alerts and the dashboard name is one that the code makes.
func TestMonitoringNamesMetrics(t *testing.T) {
	t.Parallel()
	made := map[string]bool{}
	literal := regexp.MustCompile(`"(casgate_[a-z0-9_]+)"`)
	for _, folder := range []string{"../../cas", "../../cmd", "../../gateway", "../../index", "../../providers"} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, found := range literal.FindAllStringSubmatch(string(source), -1) {
				made[found[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"alerts.yaml", "dashboard.json", "README.md"} {
		content, err := os.ReadFile(monitoring + name)
		if err != nil {
			t.Fatal(err)
		}
		named := metricName.FindAllString(string(content), -1)
		if len(named) == 0 {
			t.Errorf("%s names no metric", name)
		}
		for _, metric := range named {
			base := strings.TrimSuffix(strings.TrimSuffix(metric, "_bucket"), "_count")
			// The chats' metrics are named in two parts.
			if !made[metric] && !made[base] && !(strings.HasPrefix(base, "casgate_chat_") && made["casgate_chat_"]) {
				t.Errorf("%s names %s, which no code makes", name, metric)
			}
		}
	}
	var dashboard struct{ Panels []struct{ Title string } }
	content, err := os.ReadFile(monitoring + "dashboard.json")
	if err == nil {
		err = json.Unmarshal(content, &dashboard)
	}
	if err != nil || len(dashboard.Panels) < 10 {
		t.Errorf("dashboard.json: %v, %d panels", err, len(dashboard.Panels))
	}
}

// needProgram makes sure that a program is there that a package of the same name has. Root
// gets it installed where tests may not be skipped.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("CAS_TEST_DISALLOW_SKIP") != "1" {
		t.Skip(name + " is not installed")
	}
	if out, err := exec.Command("../../scripts/debian-install", name).CombinedOutput(); err != nil {
		t.Fatalf("CAS_TEST_DISALLOW_SKIP=1 forbids to skip: %v\n%s", err, out)
	}
}

// startPrometheus starts a Prometheus that scrapes a gateway each second, and checks rules
// each second. It returns its URL.
func startPrometheus(t *testing.T, rules, target string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yaml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yaml]\nscrape_configs:\n  - job_name: casgate\n    static_configs: [{targets: [%q]}]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=error")
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", log)
		}
	})
	return "http://" + address
}

// alerts returns the names of the alerts that fire.
func alerts(t *testing.T, prometheus string) map[string]bool {
	t.Helper()
	resp, err := http.Get(prometheus + "/api/v1/alerts")
	if err != nil {
		return nil // it starts
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil // it starts
	}
	firing := map[string]bool{}
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]] = true
		}
	}
	return firing
}

// queries returns the value of an expression, as Prometheus evaluates it, and false where it
// has none.
func queries(t *testing.T, prometheus, expression string) bool {
	t.Helper()
	resp, err := http.Get(prometheus + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Status string
		Data   struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.Status != "success" {
		t.Errorf("%s: %s, %v", expression, b, err)
	}
	return len(answer.Data.Result) > 0
}

// cutAway puts a proxy in front of a server, which the test can stop.
func cutAway(t *testing.T, name, upstream string) *toxiproxy.Proxy {
	t.Helper()
	p := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), name, "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// The alerts fire when what they are about happens, and not before. Their times are cut
// short.
func TestAlertsFire(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("it takes a minute; CAS_TEST_THOROUGH=1 runs it")
	}
	t.Parallel()
	needProgram(t, "prometheus") // and promtool
	rules, err := os.ReadFile(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", monitoring+"alerts.yaml").CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	quick := regexp.MustCompile(`for: \S+`).ReplaceAllString(string(rules), "for: 0s")
	quick = strings.Replace(quick, "casgate_copies_oldest_age_seconds) > 3600", "casgate_copies_oldest_age_seconds) > 1", 1)

	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error":{"message":"overloaded","type":"server_error"}}`, http.StatusServiceUnavailable)
	}))
	t.Cleanup(failing.Close)
	bucket := s3test.NewBucket(t)
	database, err := url.Parse(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := url.Parse(bucket.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	postgres, minio := cutAway(t, "postgres", database.Host), cutAway(t, "minio", endpoint.Host)
	database.Host = postgres.Listen
	admin, tier, data := freeAddress(t), filepath.Join(t.TempDir(), "tier"), t.TempDir()
	p := serveProcess(t, casCommand(t, []string{
		"CAS_DATA_DIR=" + data, "CAS_ADMIN_LISTEN=" + admin, "CAS_DATABASE_URL=" + database.String(),
		"CAS_S3_ENDPOINT=http://" + minio.Listen, "CAS_S3_BUCKET=" + bucket.Bucket, "CAS_S3_ACCESS_KEY=" + bucket.AccessKey, "CAS_S3_SECRET_KEY=" + bucket.SecretKey,
		"CAS_KIMI_API_KEY=key", "CAS_KIMI_BASE_URL=" + failing.URL + "/v1", "CAS_COPY_WAIT=1s", "CAS_SCRUB_EVERY=720h", "CAS_HOT_BYTES=0", "CAS_SEEN_FOR=0s",
		"CAS_CACHE_DIR=" + tier, "CAS_CACHE_SIZE=1GiB",
	}, "serve"))
	prometheus := startPrometheus(t, quick, admin)
	fires := func(alert string) {
		t.Helper()
		castest.Eventually(t, "the alert "+alert, func() bool { return alerts(t, prometheus)[alert] })
	}

	d, lost := p.store([]byte("%PDF-1.4 for the alerts")), p.store([]byte("lost"))
	castest.Eventually(t, "the first figures", func() bool {
		resp, err := http.Get(prometheus + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK && queries(t, prometheus, `casgate_up{part="index"} == 1 and on() casgate_up{part="store"} == 1`)
	})
	if firing := alerts(t, prometheus); len(firing) > 0 {
		t.Errorf("alerts fire while nothing is wrong: %v", firing)
	}

	if status, body, err := p.request(http.MethodPut, "/v1/blobs/"+d.String()+"/copies/kimi", nil); err != nil || status != http.StatusAccepted {
		t.Fatalf("a copy at a provider that fails: %d, %s, %v", status, body, err)
	}
	objects, err := s3store.New(bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	if err := objects.Delete(t.Context(), cas.ObjectRef{Digest: lost}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(copyInTier(tier, lost)); err != nil {
		t.Fatal(err)
	}
	damaged := copyInTier(tier, d)
	for _, err := range []error{os.Chmod(damaged, 0o600), os.WriteFile(damaged, []byte("%PDF-1.4 for THE alerts"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if status, body, err := p.request(http.MethodGet, "/v1/blobs/"+d.String(), nil); err != nil || status != http.StatusOK || cas.DigestOf(body) != d {
		t.Errorf("GET of a blob with a damaged copy: %d, %q, %v", status, body, err)
	}
	if status, _, err := p.request(http.MethodGet, "/v1/blobs/"+lost.String(), nil); err == nil && status < 500 {
		t.Fatalf("GET of a blob without its object: %d", status)
	}
	fires("CasgateCopiesStuck")
	fires("CasgateDamageFound")
	fires("CasgateProviderFailing")

	fires("CasgateTierDamaged")
	if err := os.RemoveAll(tier); err != nil {
		t.Fatal(err)
	}
	p.store([]byte("no copy of it can be made"))
	fires("CasgateTierFailing")

	spool := filepath.Join(data, settings.SpoolDir)
	if err := errors.Join(os.RemoveAll(spool), os.WriteFile(spool, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	fires("CasgateSpoolUnusable")

	minio.Stop()
	fires("CasgateStoreDown")
	if err := minio.Start(); err != nil {
		t.Fatal(err)
	}
	postgres.Stop()
	fires("CasgateIndexDown")
	for _, expression := range dashboardExpressions(t) {
		if !queries(t, prometheus, expression) && !strings.Contains(expression, "chat") {
			t.Errorf("no figures for the dashboard's %s", expression)
		}
	}
	p.kill()
	fires("CasgateDown")
}

// Rules whose metrics a gateway in trouble has only in part fire nevertheless.
func TestAlertsOnFewMetrics(t *testing.T) {
	t.Parallel()
	needProgram(t, "prometheus") // and promtool
	rules, err := filepath.Abs(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases strings.Builder
	for _, c := range []struct{ series, values, alert string }{
		{"casgate_tier_failing{instance='a'}", "1x180", "CasgateTierFailing"},
		{"casgate_collector_failures_total{instance='a'}", "0+1x180", "CasgateCollectorFailing"},
	} {
		fmt.Fprintf(&cases, "  - interval: 1m\n    input_series: [{series: %q, values: '%s'}]\n    promql_expr_test:\n"+
			"      - {expr: 'ALERTS{alertname=\"%s\",alertstate=\"firing\",severity=\"warning\"}', eval_time: 150m, exp_samples: [{labels: 'ALERTS{alertname=\"%[3]s\",alertstate=\"firing\",instance=\"a\",severity=\"warning\"}', value: 1}]}\n",
			c.series, c.values, c.alert)
	}
	file := filepath.Join(t.TempDir(), "test.yaml")
	text := fmt.Sprintf("rule_files: [%q]\nevaluation_interval: 1m\ntests:\n%s", rules, &cases)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// copyInTier returns the path of a copy in the folder of a local tier.
func copyInTier(tier string, d cas.Digest) string {
	return filepath.Join(tier, filepath.FromSlash(cas.ObjectRef{Digest: d}.Key()))
}

// dashboardExpressions returns the expressions of the dashboard, for all gateways.
func dashboardExpressions(t *testing.T) (all []string) {
	t.Helper()
	content, err := os.ReadFile(monitoring + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m").Replace(target.Expr))
		}
	}
	return all
}

// systemd takes the unit, and finds it well closed off.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	unit, err := os.ReadFile("../../deploy/systemd/casgate.service")
	if err != nil {
		t.Fatal(err)
	}
	// The program need not be where the unit expects it.
	path := filepath.Join(t.TempDir(), "casgate.service")
	if err := os.WriteFile(path, bytes.Replace(unit, []byte("/usr/local/bin/cas "), []byte("/bin/true "), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", path).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
