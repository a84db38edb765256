package check

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

const composeDir = "../compose"

// composed loads files as docker compose does; an attribute that the specification does not have is an error.
func composed(ctx context.Context, files ...string) (*types.Project, error) {
	o, err := cli.NewProjectOptions(files, cli.WithEnv([]string{"GRAFANA_PASSWORD=x"}), cli.WithResolvedPaths(true), cli.WithInterpolation(true), cli.WithConsistency(true))
	if err != nil {
		return nil, err
	}
	return o.LoadProject(ctx)
}

// composeProblems says what is wrong with a project that loads.
func composeProblems(p *types.Project) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	published := map[string]string{}
	for name, s := range p.Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				bad("%s: port %s is published on %q, not on loopback alone", name, port.Published, port.HostIP)
			}
			if other := published[port.Published]; other != "" {
				bad("%s and %s publish port %s", name, other, port.Published)
			}
			published[port.Published] = name
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeVolume && p.Volumes[v.Source].Name == "" {
				bad("%s: there is no volume %s", name, v.Source)
			}
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
				bad("%s: there is no %s to mount", name, v.Source)
			}
			if v.Type == types.VolumeTypeBind && !v.ReadOnly {
				bad("%s: may write to %s", name, v.Source)
			}
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			bad("%s: has no health check", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			bad("%s: may more than it needs", name)
		}
		if strings.HasPrefix(name, "broker-") {
			wrong = append(wrong, brokerProblems(p, s)...)
		}
	}
	return wrong
}

func brokerProblems(p *types.Project, s types.ServiceConfig) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(s.Name+": "+format, args...)) }
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) <= 10*time.Second {
		bad("is killed before its stop is over")
	}
	if !s.ReadOnly || s.User != "65532:65532" {
		bad("may write to its image, or is not the image's user")
	}
	if l := s.Ulimits["nofile"]; l == nil || l.Soft < 65536 {
		bad("has too few open files")
	}
	data := setting(s, "RUNNEL_DATA_DIR")
	if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == data && v.Type == types.VolumeTypeVolume }) {
		bad("%s is on no volume", data)
	}
	host, port, _ := strings.Cut(setting(s, "RUNNEL_ADVERTISE_CLIENT"), ":")
	if setting(s, "RUNNEL_LISTEN") != ":"+port {
		bad("tells clients port %s and listens on %s", port, setting(s, "RUNNEL_LISTEN"))
	}
	if host != s.Name && !slices.ContainsFunc(s.Ports, func(c types.ServicePortConfig) bool {
		return c.HostIP == host && c.Published == port && fmt.Sprint(c.Target) == port
	}) {
		bad("tells clients %s:%s, which leads nowhere", host, port)
	}
	var seeds []string
	for name, other := range p.Services {
		if strings.HasPrefix(name, "broker-") {
			seeds = append(seeds, name+setting(other, "RUNNEL_GOSSIP_LISTEN"))
		}
	}
	slices.Sort(seeds)
	if have := setting(s, "RUNNEL_SEEDS"); have != strings.Join(seeds, ",") {
		bad("has the seeds %s, not %v", have, seeds)
	}
	for _, a := range []string{"PEER", "GOSSIP", "HTTP"} {
		if setting(s, "RUNNEL_ADVERTISE_"+a) != s.Name+setting(s, "RUNNEL_"+a+"_LISTEN") {
			bad("RUNNEL_ADVERTISE_%s leads nowhere", a)
		}
	}
	return wrong
}

func setting(s types.ServiceConfig, name string) string {
	v := s.Environment[name]
	if v == nil {
		return ""
	}
	return *v
}

var composeSets = [][]string{{"compose.yaml"}, {"compose.yaml", "compose.inside.yaml"}}

func TestComposeLoadsAndHolds(t *testing.T) {
	for _, names := range composeSets {
		var files []string
		for _, n := range names {
			files = append(files, filepath.Join(composeDir, n))
		}
		p, err := composed(t.Context(), files...)
		if err != nil {
			t.Fatalf("%v: %v", names, err)
		}
		if len(p.Services) != 5 {
			t.Errorf("%v: %d services", names, len(p.Services))
		}
		for _, w := range composeProblems(p) {
			t.Errorf("%v: %s", names, w)
		}
		for _, name := range []string{"broker-1", "broker-2", "broker-3"} {
			s := p.Services[name]
			var environ []string
			for k, v := range s.Environment {
				environ = append(environ, k+"="+*v)
			}
			if have := settings(t, environ); have["rack"] == "" || have["advertise.client"] != setting(s, "RUNNEL_ADVERTISE_CLIENT") {
				t.Errorf("%v: %s: %v", names, name, have)
			}
			if len(s.HealthCheck.Test) != 3 || s.HealthCheck.Test[1] != "/usr/local/bin/brokerd" || s.HealthCheck.Test[2] != "probe" {
				t.Errorf("%v: %s asks its health by %v: the image has no other program", names, name, s.HealthCheck.Test)
			}
		}
	}
}

func TestPrometheusScrapesEveryBrokerOfCompose(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(composeDir, "targets.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var have []struct{ Targets []string }
	if err := yaml.UnmarshalStrict(raw, &have); err != nil {
		t.Fatal(err)
	}
	p, err := composed(t.Context(), filepath.Join(composeDir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for name, s := range p.Services {
		if a := setting(s, "RUNNEL_ADVERTISE_HTTP"); a != "" {
			want = append(want, a)
		} else if strings.HasPrefix(name, "broker") {
			t.Errorf("%s has no HTTP address", name)
		}
	}
	slices.Sort(want)
	if len(have) != 1 || !slices.Equal(have[0].Targets, want) {
		t.Errorf("the targets are %v, not %v", have, want)
	}
}

func TestComposeChecksSeeWhatIsBroken(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(composeDir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"stop_grace_period:", "stop_grace_periods:", ".stop_grace_periods"},
		{"interval: 5s", "interval: often", "duration"},
		{"volumes: [\"broker-2:/var/lib/runnel\"]", "volumes: [\"broker-4:/var/lib/runnel\"]", "undefined volume broker-4"},
		{"networks: [runnel]", "networks: [other]", "undefined network other"},
		{"condition: service_healthy", "condition: healthy", "value must be one of"},
		{"stop_grace_period: 30s", "stop_grace_period: 5s", "killed before its stop is over"},
		{"127.0.0.1:7170:7170", "7170:7170", "not on loopback alone"},
		{"127.0.0.1:7170:7170", "127.0.0.1:7171:7170", "tells clients 127.0.0.1:7170, which leads nowhere"},
		{"127.0.0.1:7273:7073", "127.0.0.1:7073:7073", "publish port 7073"},
		{"RUNNEL_LISTEN: :7270", "RUNNEL_LISTEN: :7070", "listens on :7070"},
		{"broker-1:7072,broker-2:7072,broker-3:7072", "broker-1:7072,broker-2:7072", "has the seeds"},
		{"RUNNEL_ADVERTISE_PEER: broker-2:7071", "RUNNEL_ADVERTISE_PEER: broker-1:7071", "RUNNEL_ADVERTISE_PEER leads nowhere"},
		{"RUNNEL_DATA_DIR: /var/lib/runnel", "RUNNEL_DATA_DIR: /data", "/data is on no volume"},
		{"cap_drop: [ALL]", "cap_drop: [NET_RAW]", "may more than it needs"},
		{"user: \"65532:65532\"", "user: \"0:0\"", "is not the image's user"},
		{"./targets.yml:", "./target.yml:", "to mount"},
		{"/prometheus.yml:ro", "/prometheus.yml", "may write to"},
	} {
		broken := strings.Replace(string(raw), c.old, c.new, 1)
		if broken == string(raw) {
			t.Errorf("there is no %q to break", c.old)
			continue
		}
		// Paths lead from the file's folder, so the broken one lies beside the good one's neighbours.
		dir := filepath.Join(t.TempDir(), "compose")
		if err := os.CopyFS(dir, os.DirFS(composeDir)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "compose.yaml")
		if err := os.WriteFile(file, []byte(broken), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := composed(t.Context(), file)
		said := ""
		if err != nil {
			said = err.Error()
		} else {
			said = strings.Join(composeProblems(p), "\n")
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%q for %q: %q is not said, but:\n%s", c.new, c.old, c.want, cmp.Or(said, "nothing"))
		}
	}
}
