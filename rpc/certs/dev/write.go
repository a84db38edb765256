package dev

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// peerRole is certs.PeerRole, without what that package needs; a test holds them together.
const peerRole = "runnel://peer"

// The files of a set. CACert signs what brokers show clients, and what clients show brokers.
const (
	CACert        = "ca.crt"
	CAKey         = "ca.key"
	BrokerCert    = "broker.crt"
	BrokerKey     = "broker.key"
	ClientCert    = "client.crt"
	ClientKey     = "client.key"
	PeerCACert    = "peer-ca.crt"
	PeerCAKey     = "peer-ca.key"
	PeerCert      = "peer.crt"
	PeerKey       = "peer.key"
	GossipKeyFile = "gossip.key"
)

// Files lists them.
func Files() []string {
	return []string{CACert, CAKey, BrokerCert, BrokerKey, ClientCert, ClientKey, PeerCACert, PeerCAKey, PeerCert, PeerKey, GossipKeyFile}
}

type file struct {
	name string
	text []byte
}

// Write makes a set in dir, which is made if need be. Brokers are to be reached as hosts, names or IP addresses. It overwrites nothing:
// where one file of the set is there already, it fails before it writes any.
func Write(dir string, hosts []string, now time.Time) error {
	files, err := set(hosts, now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var there []string
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.name)); err == nil {
			there = append(there, f.name)
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("%s holds %s already, and nothing is overwritten: name another folder, or delete what is there", dir, strings.Join(there, ", "))
	}
	for _, f := range files {
		if err := writeNew(filepath.Join(dir, f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}

func set(hosts []string, now time.Time) ([]file, error) {
	ca, err := NewCA("Runnel CA", now)
	if err != nil {
		return nil, err
	}
	peerCA, err := NewCA("Runnel peer CA", now)
	if err != nil {
		return nil, err
	}
	broker, err := ca.Sign(Leaf{Name: "broker", Hosts: hosts, Server: true}, now)
	if err != nil {
		return nil, err
	}
	client, err := ca.Sign(Leaf{Name: "client", Client: true}, now)
	if err != nil {
		return nil, err
	}
	peer, err := peerCA.Sign(PeerLeaf(hosts), now)
	if err != nil {
		return nil, err
	}
	return []file{
		{CACert, ca.CertPEM}, {CAKey, ca.KeyPEM}, {BrokerCert, broker.Cert}, {BrokerKey, broker.Key},
		{ClientCert, client.Cert}, {ClientKey, client.Key}, {PeerCACert, peerCA.CertPEM}, {PeerCAKey, peerCA.KeyPEM},
		{PeerCert, peer.Cert}, {PeerKey, peer.Key}, {GossipKeyFile, GossipKey()},
	}, nil
}

// PeerLeaf is a certificate for the traffic between brokers, at both ends of it.
func PeerLeaf(hosts []string) Leaf {
	return Leaf{Name: "peer", Hosts: hosts, Server: true, Client: true, URIs: []string{peerRole}}
}

// writeNew makes a file that only its owner can read.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
