// Command demo shows what Runnel promises, in under two minutes: three real brokers on loopback, every line of the Go
// standard library's source as input, the broker that leads most partitions killed midway, and each file rebuilt byte
// for byte from what a fresh reader gets. Package source says what the records are.
package main
