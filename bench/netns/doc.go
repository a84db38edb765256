// Command netns runs three brokers on three hosts, as far as they can tell: each is a process in a network namespace with an address of
// its own, behind a cable to one switch, and the clients are in a fourth. Cables are cut and plugged in again, one direction is lost, a link is
// slow, brokers come back under other addresses, a host is gone with all that ran on it. Each time clients write and read, and it is said
// how long the longest wait for an acknowledgement was and whether a record was lost or came twice.
//
// # How it is built
//
//	b1 10.0.0.1   b2 10.0.0.2   b3 10.0.0.3   clients 10.0.0.100, and a name server for all
//	  |             |             |             |
//	  +------ the switch: a bridge in a namespace of its own
//
// The program is two processes. The one outside (outside.go) builds brokerd, makes the switch and the clients' namespace, and at the end, whatever
// happened, ends what runs in its namespaces and removes them. The one inside (run.go) is in the clients' network; it makes the hosts and does the rest.
// Namespaces are named by the process outside, so two runs do not meet.
//
// It needs root and the program ip. Without, it says so and ends with status 77: it has shown nothing.
package main
