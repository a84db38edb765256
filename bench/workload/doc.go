// Package workload writes and reads through the Go SDK while something else breaks the cluster, and records every operation for
// package check. Values are unique, so each record read tells which append made it.
// What is the same for all programs that break clusters is here too: making a topic, its bounds, and hashes of its replicas.
package workload
