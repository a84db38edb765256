package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// beginsCertificate is how each certificate of a file begins.
var beginsCertificate = []byte("-----BEGIN CERTIFICATE-----")

// rootsOf wants all certificates of a file to be good: Go's own reader leaves out those that are not, and whoever shows a certificate of
// such a CA would be refused. The error follows the file's name.
func rootsOf(text []byte) (*x509.CertPool, error) {
	roots, n := x509.NewCertPool(), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate of a CA that cannot be read, number %d: %w", n, err)
		}
		roots.AddCert(c)
	}
	begun := bytes.Count(text, beginsCertificate)
	switch {
	case begun > n: // a block that is no PEM to its end is none for pem.Decode
		return nil, fmt.Errorf("holds %d certificates of CAs, and only %d are whole: write the file anew", begun, n)
	case n == 0:
		return nil, errors.New("holds no certificate of a CA")
	}
	return roots, nil
}
