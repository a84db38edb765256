package check

import (
	"strings"
	"testing"
)

// Each check is broken once: an edit of a manifest that is good, and what must be said of it.
func TestChecksSeeWhatIsBroken(t *testing.T) {
	manifests := map[string]string{}
	for _, set := range sets {
		manifests[set] = mustRender(t, set)
	}
	for _, c := range []struct{ set, old, new, want string }{
		// What does not decode.
		{"default", "podManagementPolicy:", "podManagmentPolicy:", `unknown field "spec.podManagmentPolicy"`},
		{"default", "readOnlyRootFilesystem: true", "readonlyRootFilesystem: true", "unknown field"},
		{"default", "periodSeconds: 10", "periodSeconds: ten", "cannot"},
		{"default", "serviceName: runnel-peers", "serviceName: runnel-peers\n  serviceName: other", "already set"},
		{"default", "storage: 100Gi", "storage: 100Gb", "quantities"},
		{"default", "apiVersion: policy/v1\n", "apiVersion: policy/v1beta7\n", "no kind"},
		{"full", "interval: 15s", "intervall: 15s", "unknown field"},
		// What decodes and does not work.
		{"default", "podManagementPolicy: Parallel", "podManagementPolicy: OrderedReady", "no founder is ready"},
		{"default", "publishNotReadyAddresses: true", "publishNotReadyAddresses: false", "founders never find each other"},
		{"default", "clusterIP: None", "clusterIP: \"\"", "not headless"},
		{"default", "serviceName: runnel-peers", "serviceName: runnel-peer", "there is no Service runnel-peer"},
		{"default", "targetPort: peer}", "targetPort: peers}", "leads to peers"},
		{"default", "targetPort: gossip-udp, protocol: UDP}", "targetPort: gossip-udp}", "leads to gossip-udp"},
		{"default", "matchLabels:\n      app.kubernetes.io/name: runnel\n", "matchLabels:\n      app.kubernetes.io/name: runnels\n", "PodDisruptionBudget: the selector"},
		{"default", "  selector:\n    app.kubernetes.io/name: runnel\n", "  selector:\n    app.kubernetes.io/name: other\n", "Service runnel-peers: the selector"},
		{"default", "maxUnavailable: 1", "maxUnavailable: 2", "more or less than one broker"},
		{"default", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 10", "must be above the 10 s"},
		{"default", "runAsNonRoot: true", "runAsNonRoot: false", "does not run as the image's user"},
		{"default", "type: RuntimeDefault", "type: Unconfined", "no seccomp profile"},
		{"default", "drop: [ALL]", "drop: [NET_RAW]", "may more than it needs"},
		{"default", `path: "/readyz?replicated", port: http`, `path: "/readyz", port: http`, "readiness probe asks /readyz"},
		{"default", `path: "/readyz?replicated", port: http`, `path: "/readyz?replicated", port: https`, "port https, which there is not"},
		{"default", "mountPath: /var/lib/runnel}", "mountPath: /var/lib/runnel, readOnly: true}", "data.dir: /var/lib/runnel cannot be written"},
		{"default", "{name: data, mountPath: /var/lib/runnel}", "{name: data, mountPath: /data}", "data.dir: /var/lib/runnel is on no volume"},
		{"default", "{name: rack, mountPath: /run/runnel, readOnly: true}", "{name: racks, mountPath: /run/runnel}", "mounts racks, which there is not"},
		{"default", "subPath: brokerd.yaml", "subPath: broker.yaml", "mounts broker.yaml of config"},
		{"default", "verbs: [get]", "verbs: [get, list]", "allows more than to get a node"},
		{"default", "- kind: ServiceAccount\n  name: runnel\n", "- kind: ServiceAccount\n  name: default\n", "not the brokers' account"},
		{"default", "serviceAccountName: runnel", "serviceAccountName: runnels", "no ServiceAccount runnels"},
		{"default", "      automountServiceAccountToken: false", "      automountServiceAccountToken: true", "get a token"},
		{"default", "limits:\n            memory: 4Gi", "limits:\n            memory: 1Gi", "more memory than its limit"},
		{"full", "topologyKey: kubernetes.io/hostname\n            labelSelector:\n              matchLabels:\n                app.kubernetes.io/name: runnel", "topologyKey: kubernetes.io/hostname\n            labelSelector:\n              matchLabels:\n                app.kubernetes.io/name: runnels", "antiAffinity: the selector"},
		{"full", "- {port: peer}", "- {port: peers}", "none of the brokers'"},
		{"full", "- from:\n    - podSelector:\n        matchLabels:\n          app.kubernetes.io/name: runnel\n          app.kubernetes.io/instance: runnel\n    ports:", "- ports:", "everyone may reach port gossip"},
		{"full", "app.kubernetes.io/component: peers\n  endpoints", "app.kubernetes.io/component: clients\n  endpoints", "has no port http"},
		{"full", "\n      app.kubernetes.io/component: peers\n  endpoints", "\n  endpoints", "selects 2 Services"},
		{"tls", "secretName: runnel-peer-tls", "secretName: runnel-peers-tls", "no Secret runnel-peers-tls"},
		{"tls", "secretName: runnel-gossip, defaultMode: 0440", "secretName: runnel-gossip", "may read the secret"},
		{"tls", "tls.peer.key: /etc/runnel/tls/peer/tls.key", "tls.peer.key: /etc/runnel/peer/tls.key", "is on no volume"},
	} {
		broken := strings.Replace(manifests[c.set], c.old, c.new, 1)
		if broken == manifests[c.set] {
			t.Errorf("%s has no %q to break", c.set, c.old)
			continue
		}
		objects, err := decode(broken)
		var said string
		if err != nil {
			said = err.Error()
		} else {
			said = strings.Join(problems(objects), "\n")
		}
		if !strings.Contains(said, c.want) {
			t.Errorf("%s with %q for %q: %q is not said, but:\n%s", c.set, c.new, c.old, c.want, said)
		}
	}
}
