package check

import (
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

// blocks are a README's commands, block by block.
func blocks(t *testing.T, part string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", part, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		out = append(out, m[1])
	}
	return out
}

// step is a kind of command, and what checks one: it gets the words that the pattern keeps.
type step struct {
	pattern string
	check   func(t *testing.T, kept []string)
}

// walk gives each command of a README to the first step that it is of. A command that is of none fails: nothing checks it.
func walk(t *testing.T, part string, steps []step) {
	t.Helper()
	used := map[string]bool{}
	for _, b := range blocks(t, part) {
		for line := range strings.Lines(b) {
			line = strings.TrimSpace(line)
			i := slices.IndexFunc(steps, func(s step) bool { return regexp.MustCompile("^" + s.pattern + "$").MatchString(line) })
			if i < 0 {
				t.Errorf("deploy/%s: nothing checks the command %q", part, line)
				continue
			}
			used[steps[i].pattern] = true
			steps[i].check(t, regexp.MustCompile("^" + steps[i].pattern + "$").FindStringSubmatch(line)[1:])
		}
	}
	for _, s := range steps {
		if !used[s.pattern] {
			t.Errorf("deploy/%s has no command %q any more", part, s.pattern)
		}
	}
}

func TestStepsOfCompose(t *testing.T) {
	load := func(t *testing.T, kept []string) {
		var files []string
		for _, m := range regexp.MustCompile(`-f (\S+)`).FindAllStringSubmatch(kept[0], -1) {
			files = append(files, "../../"+m[1])
		}
		p, err := composed(t.Context(), files...)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range composeProblems(p) {
			t.Error(w)
		}
		for _, s := range p.Services {
			if s.Image == "runnel" {
				return
			}
		}
		t.Error("no service uses the image that make image makes")
	}
	walk(t, "compose", []step{
		{`make image`, func(t *testing.T, _ []string) {
			if out, err := run(t, "../..", nil, "make", "--dry-run", "image"); err != nil || !strings.Contains(out, "deploy/image") || !strings.Contains(out, "'runnel'") {
				t.Errorf("%v\n%s", err, out)
			}
		}},
		{`GRAFANA_PASSWORD=\S+ docker compose((?: -f \S+)+) up --detach --wait`, load},
		{`GRAFANA_PASSWORD=\S+ docker compose((?: -f \S+)+) down --volumes`, load},
		{`bin/brokerctl --brokers (\S+) cluster status`, func(t *testing.T, kept []string) {
			p, err := composed(t.Context(), filepath.Join(composeDir, "compose.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if told := setting(p.Services["broker-1"], "RUNNEL_ADVERTISE_CLIENT"); told != kept[0] {
				t.Errorf("broker-1 is at %s, not at %s", told, kept[0])
			}
		}},
	})
}

// chartWith renders the chart with values that a command gives.
func chartWith(t *testing.T, words string) {
	t.Helper()
	values := map[string]any{}
	for _, m := range regexp.MustCompile(`--values (\S+)`).FindAllStringSubmatch(words, -1) {
		raw, err := os.ReadFile("../../" + m[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(raw, &values); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range regexp.MustCompile(`--set (\S+)=(\S+)`).FindAllStringSubmatch(words, -1) {
		text, key := m[2], m[1]
		if outer, inner, ok := strings.Cut(key, "."); ok {
			text, key = "{"+inner+": "+text+"}", outer
		}
		if err := yaml.Unmarshal([]byte(key+": "+text), &values); err != nil {
			t.Fatal(err)
		}
	}
	text, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems(objects) {
		t.Error(p)
	}
}

func TestStepsOfKubernetes(t *testing.T) {
	objects, err := decode(mustRender(t, "tls"))
	if err != nil {
		t.Fatal(err)
	}
	f := facts{all: objects}
	set := each[*appsv1.StatefulSet](&f)[0]
	same := func(what, have string) {
		if have != what {
			t.Errorf("it is %s, not %s", what, have)
		}
	}
	secret := func(t *testing.T, kept []string) {
		for _, v := range set.Spec.Template.Spec.Volumes {
			if v.Secret == nil || v.Secret.SecretName != kept[0] {
				continue
			}
			i := slices.IndexFunc(set.Spec.Template.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name })
			dir := set.Spec.Template.Spec.Containers[0].VolumeMounts[i].MountPath
			var want, have []string
			for _, m := range regexp.MustCompile(`(?m): `+dir+`/(\S+)$`).FindAllStringSubmatch(mustRender(t, "tls"), -1) {
				want = append(want, m[1])
			}
			for _, m := range regexp.MustCompile(`--from-file=([^=\s]+)=(\S+)`).FindAllStringSubmatch(kept[1], -1) {
				have = append(have, m[1])
			}
			if !slices.Equal(have, want) {
				t.Errorf("the secret %s has %v, the brokers read %v", kept[0], have, want)
			}
			return
		}
		t.Errorf("no pod mounts the secret %s", kept[0])
	}
	inside := `kubectl --namespace runnel exec runnel-0 -- /usr/local/bin/brokerctl (.*)`
	walk(t, "kubernetes", []step{
		{`helm (?:install|upgrade) runnel deploy/kubernetes/helm/runnel --namespace runnel(.*)`, func(t *testing.T, kept []string) { chartWith(t, kept[0]) }},
		{`kubectl create namespace (\S+)`, func(_ *testing.T, kept []string) { same(namespace, kept[0]) }},
		{`kubectl apply --filename deploy/kubernetes/(\S+)`, func(_ *testing.T, kept []string) { same(filepath.Base(plain), kept[0]) }},
		{`kubectl --namespace runnel rollout status statefulset/(\S+)`, func(_ *testing.T, kept []string) { same(set.Name, kept[0]) }},
		{`kubectl --namespace runnel delete pvc (\S+)-3`, func(_ *testing.T, kept []string) {
			same(set.Spec.VolumeClaimTemplates[0].Name+"-"+set.Name, kept[0])
		}},
		{`kubectl --namespace runnel create secret generic (\S+) (.*)`, secret},
		{`brokerctl certs dev --dir certs --host '(.*)'`, func(t *testing.T, kept []string) {
			for name := range strings.SplitSeq(kept[0], ",") {
				host := "runnel-1.runnel-peers.runnel.svc.cluster.local"
				if rest, ok := strings.CutPrefix(name, "*"); ok && !strings.HasSuffix(host, rest) || !ok && name != "runnel.runnel.svc.cluster.local" {
					t.Errorf("no broker is called %s", name)
				}
			}
		}},
		{inside, asked},
	})
}

// asked gives brokerctl's words to the real one, before a real broker: it may refuse for want of a broker 4, and not the words.
func asked(t *testing.T, kept []string) {
	t.Helper()
	args := append([]string{"--data-dir", filepath.Join(t.TempDir(), "data")}, loopback...)
	err := start(t, exec.Command(programs(t).brokerd, args...), func(client, http string) {
		if out, err := run(t, "", nil, programs(t).brokerd, "probe", "--wait", "1m", "http://"+http+"/readyz"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := run(t, "", []string{"RUNNEL_BROKERS=" + client}, programs(t).brokerctl, strings.Fields(kept[0])...)
		if err != nil && !strings.Contains(out, "broker 4") {
			t.Errorf("brokerctl %s: %v\n%s", kept[0], err, out)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// The steps of systemd are run as they stand, in a mount namespace with an /etc and a /usr/local of their own; systemctl and sysctl are
// stood in for, since there is no systemd to ask.
func TestStepsOfSystemd(t *testing.T) {
	analyze(t)
	b := programs(t)
	if out, err := run(t, "", nil, "unshare", "--mount", "true"); err != nil {
		t.Skipf("no mount namespace can be made here: %s", out)
	}
	steps := blocks(t, "systemd")
	if len(steps) != 3 {
		t.Fatalf("deploy/systemd/README.md has %d blocks of commands", len(steps))
	}
	dir := t.TempDir()
	script := `
mkdir -p "$DIR/etc" "$DIR/local/bin" "$DIR/stubs" "$DIR/var"
cp -a /etc/. "$DIR/etc" 2>/dev/null || true
mount --bind "$DIR/etc" /etc
mount --bind "$DIR/local" /usr/local
mount --bind "$DIR/var" /var/lib
for c in systemctl sysctl; do
  printf '#!/bin/sh\necho "%s $*" >> "%s/called"\n' "$c" "$DIR" > "$DIR/stubs/$c"
  chmod 755 "$DIR/stubs/$c"
done
PATH=$DIR/stubs:/usr/sbin:/usr/bin:/sbin:/bin
` + steps[0] + `
echo "--- as the unit does"
systemd-analyze verify /etc/systemd/system/brokerd.service
echo "--- that was all"
sed -i s/10.0.0.1/127.0.0.1/ /etc/runnel/brokerd.yaml
` + steps[1] + `
install -d -m 700 -o runnel -g runnel /var/lib/runnel
cd /var/lib/runnel
setpriv --reuid=runnel --regid=runnel --clear-groups --no-new-privs /usr/local/bin/brokerd --config /etc/runnel/brokerd.yaml --print-config > "$DIR/settings"
setpriv --reuid=runnel --regid=runnel --clear-groups --no-new-privs /usr/local/bin/brokerd --data-dir=/var/lib/runnel ` + strings.Join(loopback, " ") + ` 2> "$DIR/log" &
broker=$!
trap 'kill -9 $broker' EXIT
for i in $(seq 600); do
  address=$(sed -n 's/.*msg=listening .* http=\([^ ]*\).*/\1/p' "$DIR/log")
  [ -z "$address" ] || break
  sleep 0.1
done
cd "$RELEASE"
sed "s/10.0.0.1:7073/$address/" > "$DIR/upgrade" <<'EOT'
` + steps[2] + `
EOT
bash -euo pipefail "$DIR/upgrade"
trap - EXIT
kill "$broker"
wait "$broker"
`
	out, err := run(t, b.dir, []string{"DIR=" + dir, "RELEASE=" + b.dir}, "unshare", "--mount", "--propagation", "private", "bash", "-euo", "pipefail", "-c", script)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, said, _ := strings.Cut(out, "--- as the unit does\n"); !strings.HasPrefix(said, "--- that was all\n") {
		t.Errorf("systemd-analyze verify says %s", said)
	}
	called, err := os.ReadFile(filepath.Join(dir, "called"))
	if want := "sysctl --system\nsystemctl daemon-reload\nsystemctl enable --now brokerd\nsystemctl restart brokerd\n"; err != nil || string(called) != want {
		t.Errorf("called was %q, not %q", called, want)
	}
	settings, err := os.ReadFile(filepath.Join(dir, "settings"))
	if err != nil || !strings.Contains(string(settings), "data.dir: /var/lib/runnel\n") {
		t.Errorf("the user runnel reads %s, %v", settings, err)
	}
}
