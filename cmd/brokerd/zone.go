package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	accountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	zoneLabel  = "topology.kubernetes.io/zone"
)

// labelValue is what Kubernetes allows as a label's value.
var labelValue = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)

// zoneCommand is for an init container: it asks the Kubernetes API which zone the pod's node is in, and writes it to the file that rackfile
// names. Only this command gets a token of the API; the broker has none.
func zoneCommand(environ []string, stdout io.Writer) *cobra.Command {
	var node, label, out, account, api string
	c := &cobra.Command{
		Use:   "kubernetes-zone --node NODE --out FILE",
		Short: "Write the zone of a Kubernetes node to a file, for rackfile",
		Long: "Reads a label of a node from the Kubernetes API and writes its value to a file. The service account must be allowed to get nodes.\n" +
			"A node without the label gives an empty file, and so a broker without a rack.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := c.Flags()
	f.StringVar(&node, "node", "", "name of the node")
	f.StringVar(&out, "out", "", "file to write")
	f.StringVar(&label, "label", zoneLabel, "label to read")
	f.StringVar(&account, "account", accountDir, "folder with the token and the CA of the API")
	f.StringVar(&api, "api", "", "URL of the API (default: where KUBERNETES_SERVICE_HOST and _PORT say)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if node == "" || out == "" {
			return errors.New("kubernetes-zone: give --node and --out")
		}
		if api == "" {
			host, port := variable(environ, "KUBERNETES_SERVICE_HOST"), variable(environ, "KUBERNETES_SERVICE_PORT")
			if host == "" || port == "" {
				return errors.New("kubernetes-zone: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: run it in a pod, or give --api")
			}
			api = "https://" + net.JoinHostPort(host, port)
		}
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
		defer cancel()
		zone, err := nodeLabel(ctx, api, account, node, label)
		if err != nil {
			return fmt.Errorf("kubernetes-zone: %w", err)
		}
		if zone == "" {
			fmt.Fprintf(stdout, "node %s has no label %s: the broker has no rack\n", node, label)
		} else {
			fmt.Fprintf(stdout, "node %s is in %s\n", node, zone)
		}
		return writeRack(out, zone)
	}
	return c
}

func variable(environ []string, name string) string {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// nodeLabel asks the API server for one label of a node; "" if the node has none of that name.
func nodeLabel(ctx context.Context, api, account, node, label string) (string, error) {
	token, err := os.ReadFile(filepath.Join(account, "token"))
	if err != nil {
		return "", fmt.Errorf("no token of the Kubernetes API: mount the service account's: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return "", fmt.Errorf("no CA of the Kubernetes API: mount the service account's: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return "", fmt.Errorf("%s holds no certificate", filepath.Join(account, "ca.crt"))
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/api/v1/nodes/"+url.PathEscape(node), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	req.Header.Set("Accept", "application/json")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return "", err
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden:
		return "", fmt.Errorf("the service account may not get node %s: bind it to a cluster role that allows get on nodes, or choose another source of the rack", node)
	default:
		return "", fmt.Errorf("the Kubernetes API answers %s for node %s", resp.Status, node)
	}
	return labelIn(body, node, label)
}

// labelIn reads the API's answer.
func labelIn(body []byte, node, label string) (string, error) {
	var n struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &n); err != nil {
		return "", fmt.Errorf("the Kubernetes API's answer for node %s: %w", node, err)
	}
	value := n.Metadata.Labels[label]
	if !labelValue.MatchString(value) {
		return "", fmt.Errorf("the Kubernetes API's answer for node %s: its label %s is %.80q, which Kubernetes allows no label: is --api the API's address?", node, label, value)
	}
	return value, nil
}

// writeRack writes a file that rackfile names.
func writeRack(file, rack string) error { return os.WriteFile(file, []byte(rack+"\n"), 0o644) }
