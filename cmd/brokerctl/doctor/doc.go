// Package doctor makes the support bundle behind `brokerctl doctor`: what a cluster tells of itself, in one file that can be sent to
// whoever helps, and what looks wrong in it, in words.
//
// A run goes: the controller's and the brokers' view of the cluster is asked for once, then every broker's HTTP address for metrics,
// health, settings and profiles, all brokers side by side; logs are read from files or from the journal; moves are asked for again, to
// tell those that stand still. All of it becomes entries of a Bundle, which has a manifest of what was asked and what did not answer.
// The findings are drawn from the same answers by pure functions, one a symptom, and stand first in the bundle.
//
// Invariants:
//
//   - No record is read, and nothing that holds one: the Broker service is not asked.
//   - Text goes through a scrubber before it is kept. Keys are never read: settings have their files' names.
//   - Everything is bounded: each question in time, each entry and the whole in bytes. What is cut says so.
//   - A broker that is down costs its own entries, not the bundle.
//
// Only cmd/brokerctl calls this package.
package doctor
