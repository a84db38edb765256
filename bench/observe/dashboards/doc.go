// Package dashboards is Runnel's Grafana dashboards as code: what each panel asks of Prometheus, in which unit the answer is, and what
// it says to a person. `make dashboards` writes them to deploy/grafana/dashboards as Grafana reads them; bench/observe runs each query against a
// real Prometheus.
//
// # Invariants
//
//   - Each panel has a description and a unit, and each query a legend or one series (dashboards_test.go).
//   - The committed JSON is what this package writes, byte for byte.
//   - Queries name no metric that deploy/prometheus/METRICS.md does not have.
//
// Callers: bench/observe.
package dashboards
