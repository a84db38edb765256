package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/runnel-io/runnel/bench/proc"
)

// lone is a broker beside the cluster, for what would shut the cluster's clients out: TLS, and few connections.
type lone struct {
	r            *run
	cmd          *exec.Cmd
	client, http string
	cert, key    string
}

const loneConnections = 10

// expiring starts a broker whose certificate is good for a day only. At the end it gets one for longer, which it has to read by itself.
func expiring(ctx context.Context, r *run) (func(context.Context) error, error) {
	host, _, err := net.SplitHostPort(r.cluster.Brokers[0].Client)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(r.dir, "lone")
	l := &lone{r: r, client: host + ":7170", http: host + ":7173", cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key")}
	if err := errors.Join(os.Mkdir(dir, 0o755), l.certify(24*time.Hour)); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "broker.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor
	l.cmd = exec.Command(r.o.brokerd, "--data-dir", filepath.Join(dir, "data"), "--listen", l.client, "--http-listen", l.http,
		"--peer-listen", host+":7171", "--gossip-listen", host+":7172", "--tls-client-cert", l.cert, "--tls-client-key", l.key, "--tls-client-auth", "none",
		"--client-connections-max", fmt.Sprint(loneConnections))
	l.cmd.Stdout, l.cmd.Stderr = log, log
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	return l.renew, errors.Join(r.prom.targets(append(r.targets(), l.http)), l.crowd(ctx))
}

// crowd opens more connections than the broker takes, one of which says nonsense.
func (l *lone) crowd(ctx context.Context) error {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close() // some were closed by the broker
		}
	}()
	if err := l.r.until(ctx, "prometheus reaches the broker with TLS", func() (bool, error) {
		up, err := l.r.prom.scraped(ctx)
		return up == brokers+1, err
	}); err != nil {
		return err
	}
	for range 2 * loneConnections {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.client)
		if err != nil {
			return err
		}
		open = append(open, c)
	}
	if _, err := open[0].Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		return err
	}
	return proc.Wait(ctx, 2*time.Second)
}

// renew gives the broker nonsense, and then a certificate for a year, and sees that the alert ends. Then the broker ends.
func (l *lone) renew(ctx context.Context) error {
	err := os.WriteFile(l.cert, []byte("nonsense"), 0o600)
	if err == nil {
		err = l.r.until(ctx, "the broker has looked at the nonsense and tells", func() (bool, error) {
			return l.r.holds(ctx, `sum(runnel_tls_reloads_total{result="failed"}) > 0`)
		})
	}
	if err == nil {
		err = l.certify(365 * 24 * time.Hour)
	}
	if err == nil {
		err = l.r.until(ctx, "the alert ends with a new certificate", func() (bool, error) {
			now, err := l.r.prom.firing(ctx)
			return !now["RunnelCertificateExpiring"], err
		})
	}
	kill := l.cmd.Process.Kill()
	_ = l.cmd.Wait() // it was killed
	return errors.Join(err, kill, l.r.prom.targets(l.r.targets()))
}

// certify writes a certificate that signs itself.
func (l *lone) certify(good time.Duration) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(l.client)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "runnel"}, IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(good),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(l.key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), 0o600),
		os.WriteFile(l.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
	)
}
