// Package system is what the comparison knows of a system under measure: how it is fetched and started as three servers on
// loopback, and how a client of it looks to the load generator of brokerctl bench, which drives all of them alike.
//
// A Kind lives in the runner and owns processes. A Client lives in the process that carries out one measurement; it is a
// load.Cluster, so that payloads, windows, schedules and histograms are the same code for every system. Only processes
// that were started here are ever signalled.
package system
