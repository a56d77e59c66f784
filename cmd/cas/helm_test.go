package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"casgate/cas/castest"
	"casgate/cmd/cas/internal/settings"
)

const (
	helmChart = "../../deploy/helm"
	helmTools = "../../scripts/helm-tools" // a module of its own
	// kubernetesVersion is that of the schema.
	kubernetesVersion = "1.36.2"
	kubernetesSum     = "h1:qsCug7E1dMVO+rNuCENKG64Z7SVS/fTqDHGI1/NCmTg="
	// operatorVersion is that of the schema of a ServiceMonitor.
	operatorVersion = "v0.85.0"
	operatorSum     = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
)

// The chart passes helm lint and its own tests, and Kubernetes' schema has all that it makes,
// with the least and with all of its parts. The programs are built from source, which takes
// some minutes once.
func TestHelmChart(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("in the thorough tests only")
	}
	t.Parallel()
	tool := func(name string) string { // which the go command builds, and keeps
		return strings.TrimSpace(string(runTool(t, helmTools, "go", "tool", "-n", name)))
	}
	chart, err := filepath.Abs(helmChart)
	if err != nil {
		t.Fatal(err)
	}
	helm, kubeconform := tool("helm"), tool("kubeconform")
	runTool(t, chart, tool("helm-unittest"), ".")
	schemas := kubernetesSchemas(t)
	for name, values := range map[string][]string{
		"least": {"secrets.name=casgate", "settings.CAS_S3_ENDPOINT=https://s3.example.com", "settings.CAS_S3_BUCKET=casgate"},
		"all": {
			"secrets.name=casgate", "settings.CAS_S3_ENDPOINT=https://s3.example.com", "settings.CAS_S3_BUCKET=casgate", "secrets.files.CAS_KIMI_API_KEY=kimi",
			"cache.enabled=true", "cache.storageClass=fast", "tls.secretName=certificate", "autoscaling.enabled=true", "serviceMonitor.enabled=true", "spool.medium=Memory",
			"ingress.enabled=true", "ingress.className=nginx", "ingress.hosts[0]=files.example.com", "ingress.tls[0].secretName=tls", "ingress.tls[0].hosts[0]=files.example.com",
			"image.pullSecrets[0]=registry", "podAnnotations.a=b", "podLabels.c=d", "nodeSelector.e=f", "tolerations[0].operator=Exists", "serviceAccount.annotations.g=h",
		},
	} {
		args := []string{"--kube-version", kubernetesVersion}
		for _, value := range values {
			args = append(args, "--set", value)
		}
		runTool(t, chart, helm, append([]string{"lint", "--strict", "."}, args...)...)
		made := runTool(t, chart, helm, append([]string{"template", "test", "."}, args...)...)
		path := filepath.Join(t.TempDir(), "made.yaml")
		if err := os.WriteFile(path, made, 0o600); err != nil {
			t.Fatal(err)
		}
		said := runTool(t, chart, kubeconform, "-strict", "-summary", "-kubernetes-version", kubernetesVersion,
			"-schema-location", schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json", path)
		if !bytes.Contains(said, []byte("Invalid: 0, Errors: 0")) {
			t.Errorf("%s: kubeconform said %s", name, said)
		}
		checkHelmSettings(t, made)
		if name == "all" {
			checkKubeconform(t, kubeconform, schemas, made)
		}
	}
}

// checkKubeconform makes sure that a misspelt field would be found.
func checkKubeconform(t *testing.T, kubeconform, schemas string, made []byte) {
	t.Helper()
	for field, misspelt := range map[string]string{"terminationGracePeriodSeconds": "terminationGraceSeconds", "jobLabel": "jobLable", "interval: ": "intervall: "} {
		wrong := bytes.Replace(made, []byte(field), []byte(misspelt), 1)
		path := filepath.Join(t.TempDir(), "wrong.yaml")
		if err := os.WriteFile(path, wrong, 0o600); err != nil {
			t.Fatal(err)
		}
		said, err := exec.CommandContext(t.Context(), kubeconform, "-strict", "-kubernetes-version", kubernetesVersion,
			"-schema-location", schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json", path).CombinedOutput()
		if err == nil || !bytes.Contains(said, []byte(strings.TrimSuffix(misspelt, ": "))) {
			t.Errorf("kubeconform takes the misspelt %q: %v, %s", misspelt, err, said)
		}
	}
}

// runTool runs a program in a folder, and returns what it prints.
func runTool(t *testing.T, folder, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", filepath.Base(name), strings.Join(args, " "), err, out, said.String())
	}
	return out
}

// checkHelmSettings checks that cas has each setting that the chart makes.
func checkHelmSettings(t *testing.T, made []byte) {
	t.Helper()
	known, found := variables(settings.Providers{}), 0
	documents := yaml.NewDecoder(bytes.NewReader(made))
	for {
		var document struct {
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Env []struct{ Name string }
						}
					}
				}
			}
		}
		err := documents.Decode(&document)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, container := range document.Spec.Template.Spec.Containers {
			for _, variable := range container.Env {
				found++
				if !known[variable.Name] {
					t.Errorf("the chart sets %s, and cas has no such setting", variable.Name)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("the chart sets %d variables; is the test right?", found)
	}
}

// kubernetesSchemas writes the schema of each kind, as kubeconform wants it, and returns the
// folder. They come from the description of the API in Kubernetes' own module.
func kubernetesSchemas(t *testing.T) string {
	t.Helper()
	kubernetes := downloadModule(t, "k8s.io/kubernetes@v"+kubernetesVersion, kubernetesSum)
	raw, err := os.ReadFile(filepath.Join(kubernetes, "api", "openapi-spec", "swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
	var description struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(raw, &description); err != nil {
		t.Fatal(err)
	}
	all := description.Definitions
	for name, d := range all {
		if properties, ok := d["properties"].(map[string]any); ok {
			d["additionalProperties"] = false // as a server does that refuses unknown fields
			if _, isKind := d["x-kubernetes-group-version-kind"]; isKind {
				properties["apiVersion"], properties["kind"] = map[string]any{"type": "string"}, map[string]any{"type": "string"}
			}
		}
		switch name { // texts or numbers
		case "io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity":
			all[name] = map[string]any{"type": []string{"string", "number"}}
		}
	}
	folder := t.TempDir()
	for name, d := range all {
		kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 { // those of several are options of requests, such as DeleteOptions
			continue
		}
		kind := kinds[0].(map[string]any)
		group, _, _ := strings.Cut(kind["group"].(string), ".")
		parts := []string{kind["kind"].(string), group, kind["version"].(string)}
		file := strings.ToLower(strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "-")) + ".json"
		if !slices.Contains(helmKinds, file) {
			continue
		}
		schema, err := json.Marshal(map[string]any{"$ref": "#/definitions/" + name, "definitions": all})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file), schema, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writeServiceMonitorSchema(t, folder)
	return folder
}

// downloadModule returns the folder of a module. No module can require Kubernetes' own, since
// it replaces parts of itself, and only files of the operator's are needed.
func downloadModule(t *testing.T, module, sum string) (folder string) {
	t.Helper()
	var got struct{ Dir, Sum string }
	if err := json.Unmarshal(runTool(t, helmTools, "go", "mod", "download", "-json", module), &got); err != nil {
		t.Fatal(err)
	}
	if got.Sum != sum {
		t.Fatalf("%s has the checksum %s, want %s", module, got.Sum, sum)
	}
	return got.Dir
}

// writeServiceMonitorSchema writes the schema of a ServiceMonitor, which is a kind of the
// Prometheus operator, from the definition that the operator's users install.
func writeServiceMonitorSchema(t *testing.T, folder string) {
	t.Helper()
	operator := downloadModule(t, "github.com/prometheus-operator/prometheus-operator@"+operatorVersion, operatorSum)
	raw, err := os.ReadFile(filepath.Join(operator, "example", "prometheus-operator-crd", "monitoring.coreos.com_servicemonitors.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(raw, &definition); err != nil {
		t.Fatal(err)
	}
	if versions := definition.Spec.Versions; len(versions) != 1 || versions[0].Name != "v1" {
		t.Fatalf("the definition has the versions %+v", versions)
	}
	schema := definition.Spec.Versions[0].Schema.OpenAPIV3Schema
	refuseUnknownFields(schema)
	out, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "servicemonitor-monitoring-v1.json"), out, 0o600); err != nil {
		t.Fatal(err)
	}
}

// refuseUnknownFields changes a schema as a server does that refuses them.
func refuseUnknownFields(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	if _, isOpen := schema["additionalProperties"]; len(properties) > 0 && !isOpen {
		schema["additionalProperties"] = false
	}
	for _, property := range properties {
		if inner, ok := property.(map[string]any); ok {
			refuseUnknownFields(inner)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		refuseUnknownFields(items)
	}
}

// helmKinds are the kinds that the chart makes.
var helmKinds = []string{
	"deployment-apps-v1.json", "job-batch-v1.json", "service-v1.json", "serviceaccount-v1.json", "poddisruptionbudget-policy-v1.json",
	"horizontalpodautoscaler-autoscaling-v2.json", "ingress-networking-v1.json",
}
