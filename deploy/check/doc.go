// Package check holds the tests of what deploy/ ships: the systemd unit, the compose files, the Kubernetes manifests and the Helm chart, the
// image and the release. It is a module of its own, so that Helm, the Kubernetes API and compose-go never enter the product's go.mod.
//
// A machine without Kubernetes and without a container engine can still tell much:
//
//   - Each file is decoded by the code that its user's tool decodes it with, strictly: an unknown field is an error (decode_test.go,
//     compose_test.go). The chart is rendered by Helm's own engine, with several sets of values.
//   - What the parts of a file say of each other holds: selectors select, ports and volumes that are named exist, nothing runs as
//     root (facts_test.go). Each of these checks is broken once (mutants_test.go).
//   - What they say to the broker holds: the arguments, files and variables are given to the real brokerd, and the paths of the probes are
//     asked of it (broker_test.go).
//   - The unit is verified by systemd-analyze, the image is built by buildah, the release is built twice (systemd_test.go, image_test.go,
//     release_test.go). Where a tool is missing the test is skipped and says why.
//   - The commands of the READMEs are the ones that the tests run (steps_test.go).
//
// Nobody imports this package; .ci/deploy runs it.
package check
