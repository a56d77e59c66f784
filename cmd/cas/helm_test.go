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
)

const (
	helmChart = "../../deploy/helm"
	helmTools = "../../scripts/helm-tools" // a module of its own
	// kubernetesVersion is that of the schema.
	kubernetesVersion = "1.36.2"
	kubernetesSum     = "h1:qsCug7E1dMVO+rNuCENKG64Z7SVS/fTqDHGI1/NCmTg="
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
			"cache.enabled=true", "cache.storageClass=fast", "autoscaling.enabled=true", "serviceMonitor.enabled=true", "spool.medium=Memory",
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
		// ServiceMonitor is no kind of Kubernetes' own; the chart's tests look at its fields.
		said := runTool(t, chart, kubeconform, "-strict", "-summary", "-skip", "ServiceMonitor", "-kubernetes-version", kubernetesVersion,
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
	wrong := bytes.Replace(made, []byte("terminationGracePeriodSeconds"), []byte("terminationGraceSeconds"), 1)
	path := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(path, wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), kubeconform, "-strict", "-skip", "ServiceMonitor", "-kubernetes-version", kubernetesVersion,
		"-schema-location", schemas+"/{{.ResourceKind}}{{.KindSuffix}}.json", path).CombinedOutput()
	if err == nil || !bytes.Contains(said, []byte("terminationGraceSeconds")) {
		t.Errorf("kubeconform takes a misspelt field: %v, %s", err, said)
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
	known, found := variables(), 0
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
	// No module can require that one, since it replaces parts of itself.
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(runTool(t, helmTools, "go", "mod", "download", "-json", "k8s.io/kubernetes@v"+kubernetesVersion), &module); err != nil {
		t.Fatal(err)
	}
	if module.Sum != kubernetesSum {
		t.Fatalf("k8s.io/kubernetes %s has the checksum %s, want %s", kubernetesVersion, module.Sum, kubernetesSum)
	}
	raw, err := os.ReadFile(filepath.Join(module.Dir, "api", "openapi-spec", "swagger.json"))
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
	return folder
}

// helmKinds are the kinds that the chart makes.
var helmKinds = []string{
	"deployment-apps-v1.json", "job-batch-v1.json", "service-v1.json", "serviceaccount-v1.json", "poddisruptionbudget-policy-v1.json",
	"horizontalpodautoscaler-autoscaling-v2.json", "ingress-networking-v1.json",
}
