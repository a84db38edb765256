// Package proc starts clusters of real brokerd processes on loopback, kills them and starts them again: what the
// measurements and the demo of the sibling folders run against. Everything lives in one folder; only processes started
// here are ever signalled.
package proc
