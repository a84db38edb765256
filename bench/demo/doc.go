// Command demo shows what Runnel promises, in under two minutes: three real brokers on loopback, every line of the Go
// standard library's source as input, the broker that leads most partitions killed midway, and each file rebuilt byte
// for byte from what a fresh reader gets.
//
// # The records
//
// A file's records share its path as their key, so they are in one partition and in order. The first record of a file is
// its header (kind 'F': size and number of pieces); each later one is a piece (kind 'L': a line with its end, or a part
// of a line longer than maxPiece). Every record carries the file's number and its own number within the file, so a
// missing or repeated record is seen as such and not only as a wrong hash.
package main
