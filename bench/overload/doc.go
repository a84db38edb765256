// Command overload asks of three real brokers more than they can do, and says whether somebody who behaves notices more than time:
//
//	idle        10,000 connections that say nothing, all to one broker
//	readers     consumers that never read, and one that reads 64 KiB a second
//	producers   records at five times the rate that one producer gets through, or that they get acknowledged themselves
//	largest     requests of the largest size, many at a time
//	topics      topics made and deleted, as fast as it goes
//
// first one after the other and then all at once. A well-behaved client sends single records, one at a time on each partition, and
// another one reads along: no error may reach them, no record may be lost or come twice, and what each waits is in the table, before,
// while and after. What is acknowledged to the others counts too: their records are numbered, and what retention has left of them is read
// back after each load and compared with every acknowledgement.
//
// Memory is held against limits that are stated with the figures (memory.go), must not climb under a load that goes on, and has to come
// back, as have goroutines and open files. An error that anybody gets must be retriable, or definite, and say what is wrong.
//
// The load runs in processes of its own, this program started again with -load, at a lower priority: on few processors it would
// otherwise take from the brokers what it is meant to ask of them.
package main
