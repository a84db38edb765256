package check

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// fields are what Kubernetes gives a pod of the manifests by the downward API.
var fields = map[string]string{
	"metadata.name": "runnel-1", "metadata.namespace": namespace, "status.podIP": "10.1.2.3", "spec.nodeName": "node-1",
	"metadata.labels['topology.kubernetes.io/zone']": "zone-a",
}

var variable = regexp.MustCompile(`\$\(([A-Z_]+)\)`)

// arguments are a container's, with its variables put in as Kubernetes does.
func arguments(t *testing.T, c corev1.Container) []string {
	t.Helper()
	env := map[string]string{}
	for _, e := range c.Env {
		value, known := e.Value, e.ValueFrom == nil
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			value, known = fields[e.ValueFrom.FieldRef.FieldPath]
		}
		if !known {
			t.Errorf("%s: what is the variable %s?", c.Name, e.Name)
		}
		env[e.Name] = value
	}
	var out []string
	for _, a := range c.Args {
		out = append(out, variable.ReplaceAllStringFunc(a, func(ref string) string {
			value, ok := env[variable.FindStringSubmatch(ref)[1]]
			if !ok {
				t.Errorf("%s: %s names no variable", c.Name, ref)
			}
			return value
		}))
	}
	return out
}

// settingsOf gives the brokers' file and arguments to the real brokerd and answers the settings in force. Its file and its rack's are
// where the test can write.
func settingsOf(t *testing.T, objects facts, c corev1.Container) map[string]any {
	t.Helper()
	dir := t.TempDir()
	put := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	config, ok := find[*corev1.ConfigMap](&objects, "runnel")
	if !ok {
		t.Fatal("there is no ConfigMap runnel")
	}
	args := arguments(t, c)
	for i, a := range args {
		switch a {
		case "--config=/etc/runnel/brokerd.yaml":
			args[i] = "--config=" + put("brokerd.yaml", config.Data["brokerd.yaml"])
		case "--rackfile=/run/runnel/rack":
			args[i] = "--rackfile=" + put("rack", "zone-a\n")
		}
	}
	return settings(t, nil, args...)
}

// settings are those that brokerd has in force with arguments and variables. A variable that is none of its own is an error here.
func settings(t *testing.T, environ []string, args ...string) map[string]any {
	t.Helper()
	out, err := run(t, t.TempDir(), environ, programs(t).brokerd, append(args, "--print-config")...)
	if err != nil {
		t.Fatalf("brokerd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	if strings.Contains(out, "a variable is ignored") {
		t.Fatalf("brokerd does not know every variable:\n%s", out)
	}
	in := map[string]any{}
	if err := yaml.Unmarshal([]byte(out), &in); err != nil {
		t.Fatal(err)
	}
	return in
}

func TestBrokerdTakesWhatTheManifestsSay(t *testing.T) {
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			objects, err := decode(mustRender(t, set))
			if err != nil {
				t.Fatal(err)
			}
			f := facts{all: objects}
			sts := each[*appsv1.StatefulSet](&f)[0]
			have := settingsOf(t, f, sts.Spec.Template.Spec.Containers[0])
			own := fmt.Sprintf("runnel-1.%s.%s.svc.cluster.local", sts.Spec.ServiceName, namespace)
			for key, want := range map[string]string{
				"advertise.client": own + ":7070", "advertise.peer": "10.1.2.3:7071", "advertise.gossip": "10.1.2.3:7072", "advertise.http": "10.1.2.3:7073",
				"listen": ":7070", "peer.listen": ":7071", "gossip.listen": "10.1.2.3:7072", "http.listen": ":7073", "data.dir": "/var/lib/runnel",
			} {
				if have[key] != want {
					t.Errorf("%s is %v, not %s", key, have[key], want)
				}
			}
			var seeds []any
			for i := range min(*sts.Spec.Replicas, 3) {
				seeds = append(seeds, fmt.Sprintf("runnel-%d.%s.%s.svc.cluster.local:7072", i, sts.Spec.ServiceName, namespace))
			}
			if !slices.Equal(have["seeds"].([]any), seeds) {
				t.Errorf("the seeds are %v, not %v", have["seeds"], seeds)
			}
			if rack := have["rack"]; set == "full" && rack != "zone-a" {
				t.Errorf("the rack is %v, not the pod's label", rack)
			}
			ports := map[string]int32{}
			for _, p := range sts.Spec.Template.Spec.Containers[0].Ports {
				ports[p.Name] = p.ContainerPort
			}
			for name, key := range map[string]string{"client": "listen", "peer": "peer.listen", "gossip": "gossip.listen", "gossip-udp": "gossip.listen", "http": "http.listen"} {
				if !strings.HasSuffix(have[key].(string), fmt.Sprintf(":%d", ports[name])) {
					t.Errorf("%s is %v, the container's port %s is %d", key, have[key], name, ports[name])
				}
			}
		})
	}
}

// The init container's arguments, run by the real program against an API that knows the node.
func TestRackComesFromTheNode(t *testing.T) {
	objects, err := decode(mustRender(t, "default"))
	if err != nil {
		t.Fatal(err)
	}
	f := facts{all: objects}
	inits := each[*appsv1.StatefulSet](&f)[0].Spec.Template.Spec.InitContainers
	if len(inits) != 1 {
		t.Fatalf("%d init containers", len(inits))
	}
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/nodes/node-1" && r.Header.Get("Authorization") == "Bearer token" {
			fmt.Fprint(w, `{"kind":"Node","metadata":{"labels":{"topology.kubernetes.io/zone":"zone-a"}}}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer api.Close()
	account, out := t.TempDir(), filepath.Join(t.TempDir(), "rack")
	for name, text := range map[string]string{
		"token": "token", "ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})),
	} {
		if err := os.WriteFile(filepath.Join(account, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append(arguments(t, inits[0]), "--api", api.URL, "--account", account)
	for i, a := range args {
		args[i] = strings.Replace(a, "/run/runnel/rack", out, 1)
	}
	if said, err := run(t, t.TempDir(), nil, programs(t).brokerd, args...); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if raw, err := os.ReadFile(out); err != nil || string(raw) != "zone-a\n" {
		t.Errorf("the rack is %q, %v", raw, err)
	}
}

// The kubelet's, compose's and the ServiceMonitor's paths are asked of a broker: each is one that it serves.
func TestBrokerServesThePathsThatAreAsked(t *testing.T) {
	objects, err := decode(mustRender(t, "full"))
	if err != nil {
		t.Fatal(err)
	}
	f := facts{all: objects}
	paths := []string{"/metrics"}
	for _, p := range probePaths(each[*appsv1.StatefulSet](&f)[0]) {
		paths = append(paths, p.HTTPGet.Path)
	}
	args := append([]string{"--data-dir", filepath.Join(t.TempDir(), "data")}, loopback...)
	stop := start(t, exec.Command(programs(t).brokerd, args...), func(_, address string) {
		for _, path := range paths {
			if said, err := run(t, "", nil, programs(t).brokerd, "probe", "--wait", "1m", "http://"+address+path); err != nil {
				t.Errorf("%s: %v\n%s", path, err, said)
			}
		}
		if said, err := run(t, "", nil, programs(t).brokerd, "probe", "http://"+address+"/ready"); err == nil {
			t.Errorf("a path that there is not is answered: %s", said)
		}
	})
	if stop != nil {
		t.Errorf("after SIGTERM: %v", stop)
	}
}
