// Package dev makes the certificates and keys of a cluster for development and tests: a CA for brokers and clients, one for the traffic
// between brokers, a certificate of each kind and a key for gossip. All are ECDSA P-256 and last for months, not years.
//
// Callers are brokerctl certs dev and tests, which make theirs at run time.
package dev
