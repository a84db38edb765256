package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// The certificates that the README has one make, in the secrets that it has one make of them, mounted as the chart mounts them, start a broker
// that talks to a client with its certificate and to no other.
func TestSecretsOfTheReadmeStartABrokerWithTLS(t *testing.T) {
	b := programs(t)
	objects, err := decode(mustRender(t, "tls"))
	if err != nil {
		t.Fatal(err)
	}
	f := facts{all: objects}
	pod := each[*appsv1.StatefulSet](&f)[0].Spec.Template.Spec
	top := t.TempDir()
	text := strings.Join(blocks(t, "kubernetes"), "")
	dev := regexp.MustCompile(`(?m)^brokerctl (certs dev .*)$`).FindStringSubmatch(text)
	if dev == nil {
		t.Fatal("the README makes no certificates")
	}
	if out, err := run(t, top, nil, b.brokerctl, strings.Fields(strings.ReplaceAll(dev[1], "'", ""))...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, v := range pod.Volumes {
		if v.Secret == nil {
			continue
		}
		made := regexp.MustCompile(`(?m)^kubectl .* create secret generic ` + v.Secret.SecretName + ` (.*)$`).FindStringSubmatch(text)
		if made == nil {
			t.Fatalf("the README makes no secret %s", v.Secret.SecretName)
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if m.Name == v.Name {
				mountSecret(t, top, filepath.Join(top, m.MountPath), made[1])
			}
		}
	}
	config, _ := find[*corev1.ConfigMap](&f, "runnel")
	file := filepath.Join(top, "brokerd.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config.Data["brokerd.yaml"], "/etc/runnel", top+"/etc/runnel")), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"--config", file, "--seeds=", "--log-format=text", "--data-dir", filepath.Join(top, "data")}, loopback...)
	err = start(t, exec.Command(b.brokerd, args...), func(client, http string) {
		if out, err := run(t, "", nil, b.brokerd, "probe", "--wait", "1m", "http://"+http+"/readyz"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		environ := []string{"RUNNEL_BROKERS=" + client, "RUNNEL_TLS_CA=" + top + "/certs/ca.crt"}
		if out, err := run(t, "", environ, b.brokerctl, "cluster", "status", "--timeout", "5s"); err == nil {
			t.Errorf("a client without a certificate is served:\n%s", out)
		}
		environ = append(environ, "RUNNEL_TLS_CERT="+top+"/certs/client.crt", "RUNNEL_TLS_KEY="+top+"/certs/client.key")
		if out, err := run(t, "", environ, b.brokerctl, "cluster", "status", "--timeout", "1m"); err != nil { // it is answered as soon as it can be
			t.Errorf("a client with its certificate is not: %v\n%s", err, out)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// mountSecret lays the files that a kubectl create secret names into a folder under their keys.
func mountSecret(t *testing.T, from, dir, made string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`--from-file=([^=\s]+)=(\S+)`).FindAllStringSubmatch(made, -1) {
		raw, err := os.ReadFile(filepath.Join(from, m[2]))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, m[1]), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
