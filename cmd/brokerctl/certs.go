package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/rpc/certs/dev"
)

func (a *app) certsCmd() *cobra.Command {
	return noun("certs", "Make certificates", a.certsDevCmd())
}

func (a *app) certsDevCmd() *cobra.Command {
	var dir string
	var hosts []string
	c := &cobra.Command{
		Use:   "dev",
		Short: "Make certificates and keys for a cluster on this machine or a few",
		Long: "Makes what a cluster needs to encrypt and authenticate all of its traffic: a CA and a certificate for brokers and one for clients,\n" +
			"a CA and a certificate for the traffic between brokers, and a key for gossip. Certificates last for 90 days, CAs for a year.\n" +
			"It overwrites nothing. Give all brokers the same folder, with the names and addresses of all of them in --host.",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			all := []string{"localhost", "127.0.0.1", "::1"}
			for _, h := range hosts {
				if h = strings.TrimSpace(h); h != "" {
					all = append(all, h)
				}
			}
			if err := dev.Write(dir, all, time.Now()); err != nil {
				return err
			}
			return certsNext(a.out, dir)
		},
	}
	c.Flags().StringVar(&dir, "dir", "runnel-certs", "folder to write to, which only you can read")
	c.Flags().StringSliceVar(&hosts, "host", nil, "names and addresses of brokers besides localhost, comma-separated")
	return c
}

// certsNext says what to do with the files.
func certsNext(w io.Writer, dir string) error {
	in := func(name string) string { return quoted(filepath.Join(dir, name)) }
	_, err := fmt.Fprintf(w, `%[1]s holds the certificates and keys, which only you can read. Keep ca.key and peer-ca.key away from brokers that matter.
Start a broker with them, tell brokerctl, and ask it:

  brokerd --tls-client-cert %[2]s --tls-client-key %[3]s --tls-client-ca %[4]s \
    --tls-peer-cert %[5]s --tls-peer-key %[6]s --tls-peer-ca %[7]s --gossip-key-file %[8]s
  export RUNNEL_TLS_CA=%[4]s RUNNEL_TLS_CERT=%[9]s RUNNEL_TLS_KEY=%[10]s
  brokerctl cluster status

Files that change are read again by themselves.
`, dir, in(dev.BrokerCert), in(dev.BrokerKey), in(dev.CACert), in(dev.PeerCert), in(dev.PeerKey), in(dev.PeerCACert), in(dev.GossipKeyFile),
		in(dev.ClientCert), in(dev.ClientKey))
	return err
}

// quoted is a word for a shell.
func quoted(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
