package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/pflag"
)

// tlsFlags say how to speak TLS. Each is also a variable; a flag wins.
type tlsFlags struct {
	on            bool
	onFlag        *pflag.Flag
	ca, cert, key string
}

const tlsHint = "--tls-ca, --tls-cert and --tls-key, or RUNNEL_TLS_CA, RUNNEL_TLS_CERT and RUNNEL_TLS_KEY, say how to speak TLS"

func (t *tlsFlags) define(f *pflag.FlagSet) {
	f.BoolVar(&t.on, "tls", false, "speak TLS and trust the CAs of this system (RUNNEL_TLS=true); the other flags of TLS imply it")
	t.onFlag = f.Lookup("tls")
	f.StringVar(&t.ca, "tls-ca", "", "file with the CAs of brokers' certificates (RUNNEL_TLS_CA)")
	f.StringVar(&t.cert, "tls-cert", "", "file with the certificate that brokers ask for (RUNNEL_TLS_CERT)")
	f.StringVar(&t.key, "tls-key", "", "file with its key (RUNNEL_TLS_KEY)")
}

// config reads the files. nil: plain text.
func (t *tlsFlags) config(getenv func(string) string) (*tls.Config, error) {
	if t.onFlag.Changed && !t.on { // plain text, whatever the variables say
		if cmp.Or(t.ca, t.cert, t.key) != "" {
			return nil, errors.New("--tls=false and another flag of TLS contradict each other: leave one of them out")
		}
		return nil, nil
	}
	on := t.on
	if v := getenv("RUNNEL_TLS"); v != "" && !on {
		var err error
		if on, err = strconv.ParseBool(v); err != nil {
			return nil, fmt.Errorf("RUNNEL_TLS is %q: use true or false", v)
		}
	}
	ca, cert, key := cmp.Or(t.ca, getenv("RUNNEL_TLS_CA")), cmp.Or(t.cert, getenv("RUNNEL_TLS_CERT")), cmp.Or(t.key, getenv("RUNNEL_TLS_KEY"))
	if !on && ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("--tls-cert and --tls-key belong together: name both or none")
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--tls-ca: %s holds no certificate of a CA", ca)
		}
	}
	if cert != "" {
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		// Read at each handshake: a command that runs for long outlives its certificate.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		}
	}
	return c, nil
}
