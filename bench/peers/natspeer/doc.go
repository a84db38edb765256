// Package natspeer puts NATS JetStream behind the interface of the comparison: three servers of the newest release with a
// file store, streams of three replicas, and every way that its newest client has to publish many messages at once.
//
// A topic's partitions are either streams of their own or subjects of one stream, whichever serves NATS better.
package natspeer
