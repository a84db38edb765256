// Package runnelv1 holds the messages and services of Runnel, generated from the .proto files beside it (`make proto`),
// and the one hand-written part: how errors are made, found in a chain and carried in a gRPC status.
package runnelv1
