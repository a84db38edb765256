package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	"github.com/runnel-io/runnel/rpc/certs/dev"
)

// runWith is one command line with an environment, against whatever is there.
func runWith(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, errOut: &errOut, connect: connectSDK, getenv: func(k string) string { return env[k] }}
	status := execute(t.Context(), a, args)
	return result{out.String(), errOut.String(), status}
}

func TestDevelopmentCertificatesAreMadeOnceAndExplained(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my certs")
	r := runWith(t, nil, "certs", "dev", "--dir", dir, "--host", "broker-1,10.0.0.1")
	if r.status != 0 || r.err != "" {
		t.Fatalf("%d, %s", r.status, r.err)
	}
	for _, name := range dev.Files() {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{
		"brokerd --tls-client-cert '" + filepath.Join(dir, dev.BrokerCert) + "'", "--gossip-key-file", "export RUNNEL_TLS_CA=", "brokerctl cluster status",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("%q is not said: %s", want, r.out)
		}
	}
	if r := runWith(t, nil, "certs", "dev", "--dir", dir); r.status != 1 || !strings.Contains(r.err, "nothing is overwritten") {
		t.Errorf("a second time: %d, %s", r.status, r.err)
	}
}

func TestTLSIsSpokenAsToldAndItsTroubleExplained(t *testing.T) {
	if testing.Short() {
		t.Skip("starts brokers")
	}
	secure, plain := brokertest.Start(t, 1, brokertest.TLS()), brokertest.Start(t, 1)
	in := func(name string) string { return filepath.Join(secure.Certs(), name) }
	at, atPlain := "--brokers="+secure.Seeds()[0], "--brokers="+plain.Seeds()[0]
	ca, cert, key := "--tls-ca="+in(dev.CACert), "--tls-cert="+in(dev.ClientCert), "--tls-key="+in(dev.ClientKey)
	env := map[string]string{"RUNNEL_TLS_CA": in(dev.CACert), "RUNNEL_TLS_CERT": in(dev.ClientCert), "RUNNEL_TLS_KEY": in(dev.ClientKey)}
	for _, x := range []struct {
		name string
		env  map[string]string
		args []string
		want string // in the error; "": it works
	}{
		{"flags", nil, []string{at, ca, cert, key}, ""},
		{"variables", env, []string{at}, ""},
		{"a flag wins", map[string]string{"RUNNEL_TLS_CA": "none", "RUNNEL_TLS_CERT": in(dev.ClientCert), "RUNNEL_TLS_KEY": in(dev.ClientKey)}, []string{at, ca}, ""},
		{"no TLS", nil, []string{at}, "may want TLS"},
		{"the system's CAs", map[string]string{"RUNNEL_TLS": "true"}, []string{at}, "unknown authority"},
		{"no certificate", nil, []string{at, ca}, "certificate required"},
		{"a broker without TLS", env, []string{atPlain}, "does not speak TLS"},
		{"half a pair", nil, []string{at, ca, cert}, "name both or none"},
		{"no such CA", nil, []string{at, "--tls-ca=none"}, "no such file"},
		{"a key as CA", nil, []string{at, "--tls-ca=" + in(dev.CAKey)}, "holds no certificate"},
		{"a word", map[string]string{"RUNNEL_TLS": "perhaps"}, []string{at}, "true or false"},
	} {
		r := runWith(t, x.env, append([]string{"cluster", "status", "--timeout=30s"}, x.args...)...)
		if (r.status == 0) != (x.want == "") || !strings.Contains(r.err, x.want) {
			t.Errorf("%s: status %d, %s", x.name, r.status, r.err)
		}
	}
	bench := runWith(t, env, at, "bench", "produce", "--records=100", "--partitions=1", "-o", "json")
	if bench.status != 0 {
		t.Errorf("bench: %s", bench.err)
	}
}
