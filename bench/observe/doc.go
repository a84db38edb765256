// Command observe shows that what an operator sees is true: `make observe` starts three real brokers under load, and a real Prometheus that
// scrapes them each second, breaks them in every way that an alert is for, and sees that the alert fires then, and not before. At the end it runs
// every query of every panel of every dashboard over that time, and each has to return data.
//
// # Data flow
//
//	3 brokers, each on a small disk of its own  <--load.go: producers and readers; steps.go: what befalls them
//	       | /metrics, each second
//	   Prometheus, with deploy/prometheus/prometheus.yml and alerts.yml (server.go, rules.go)
//	       | HTTP API (api.go)
//	run.go: does each alert fire by its cause   judge.go: does each panel show something   charts.go: pictures for people
//
// # What is not as in production
//
//   - Scrapes and evaluations each second instead of each 15 s. Waits of alerts (their "for") are divided by shortened; their
//     expressions are those of the file. Windows of minutes therefore see what there is: the run so far.
//   - $__rate_interval is 15s, and each variable is its "All".
//
// # What is red
//
//   - An alert that fires before its cause, or does not fire by it; an alert without a step.
//   - A query without a series, or with nothing but zeros where the dashboard does not say why that is right; a legend that names a label which
//     the answer does not have.
//
// It needs root, to mount small file systems, strace, to delay syncs and have them fail, and Prometheus. Without, it says so and ends with
// status 77: it has shown nothing. Only processes that were started here are signalled or traced, by their pid.
package main
