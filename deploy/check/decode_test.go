package check

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	chart     = "../kubernetes/helm/runnel"
	plain     = "../kubernetes/runnel.yaml"
	namespace = "runnel"
)

// sets are the values that the chart is rendered with, by name. The files lie beside the chart, for users to start from.
var sets = []string{"default", "one", "tls", "full"}

func valuesOf(t *testing.T, set string) map[string]any {
	t.Helper()
	if set == "default" {
		return map[string]any{}
	}
	raw, err := os.ReadFile(filepath.Join("../kubernetes/values", set+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(raw, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

// render is helm template runnel CHART --namespace runnel, without the notes.
func render(values map[string]any) (string, error) {
	files, err := renderFiles(values)
	if err != nil {
		return "", err
	}
	var docs []string
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	}) {
		if text := strings.TrimSpace(files[name]); text != "" && path.Ext(name) == ".yaml" {
			docs = append(docs, text+"\n")
		}
	}
	return strings.Join(docs, "---\n"), nil
}

func renderFiles(values map[string]any) (map[string]string, error) {
	c, err := loader.Load(chart)
	if err != nil {
		return nil, err
	}
	v, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: "runnel", Namespace: namespace, IsInstall: true, Revision: 1}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(c, v)
}

func mustRender(t *testing.T, set string) string {
	t.Helper()
	text, err := render(valuesOf(t, set))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// strict decodes as the API server does with fieldValidation=Strict: unknown and doubled fields are errors.
var strict = sync.OnceValue(func() runtime.Decoder {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme, networkingv1.AddToScheme, monitoringv1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return serializer.NewCodecFactory(s, serializer.EnableStrict).UniversalDeserializer()
})

// decode reads a manifest of several documents.
func decode(manifest string) ([]runtime.Object, error) {
	var out []runtime.Object
	docs := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		o, _, err := strict().Decode(doc, nil, nil)
		if err != nil {
			first, _, _ := strings.Cut(string(doc), "\n")
			return nil, fmt.Errorf("the document that begins with %q: %w", first, err)
		}
		out = append(out, o)
	}
}

func TestChartRendersWhatKubernetesTakes(t *testing.T) {
	for _, set := range sets {
		objects, err := decode(mustRender(t, set))
		if err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		for _, p := range problems(objects) {
			t.Errorf("%s: %s", set, p)
		}
	}
}

func TestChartRefusesValuesThatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct{ values, want string }{
		{"replica: 3", "additional properties 'replica' not allowed"},
		{"tls: {client: {secrets: x}}", "additional properties 'secrets' not allowed"},
		{"rack: {from: zone}", "value must be one of 'node', 'podLabel', 'none'"},
		{"terminationGracePeriodSeconds: 5", "minimum: got 5, want 15"},
	} {
		values := map[string]any{}
		if err := yaml.Unmarshal([]byte(c.values), &values); err != nil {
			t.Fatal(err)
		}
		if _, err := render(values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.values, err)
		}
	}
}

// Every value that the chart has is one that its schema knows, and the other way round where it has a default.
func TestSchemaKnowsEveryValue(t *testing.T) {
	schema, values := map[string]any{}, map[string]any{}
	for file, to := range map[string]*map[string]any{"values.schema.json": &schema, "values.yaml": &values} {
		raw, err := os.ReadFile(filepath.Join(chart, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(raw, to); err != nil {
			t.Fatal(err)
		}
	}
	for name := range schema["properties"].(map[string]any) {
		if _, there := values[name]; !there && name != "global" { // Helm's own
			t.Errorf("the schema has %s, values.yaml does not", name)
		}
	}
}

// The plain manifests are the chart with its defaults: one truth. go test -run PlainManifests -rewrite writes them.
func TestPlainManifestsAreTheChartsDefaults(t *testing.T) {
	want := plainHead + mustRender(t, "default")
	if *rewrite {
		if err := os.WriteFile(plain, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("deploy/kubernetes/runnel.yaml is stale: run make manifests")
	}
}

const plainHead = `# Three brokers in the namespace runnel, for whoever does not use Helm: kubectl create namespace runnel, kubectl apply -f this file.
# Written by make manifests from the chart's defaults; change it by hand as you like, or let the chart do it.
`
