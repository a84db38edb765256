// Package plan decides where replicas go. Its functions are pure: a State and the set of brokers that are alive go in,
// a placement and its reasons come out; the same input gives the same output on every broker and in every test.
//
// The order of the goals, the first being the most important:
//
//  1. no two replicas of a partition on one broker, and none on a broker that is not alive
//  2. replicas of a partition in as many racks as there are
//  3. replicas of the topic spread evenly over the brokers, then all replicas of the cluster
//  4. preferred leaders of the topic spread evenly over the brokers, then all preferred leaders of the cluster
//
// What is left undecided is decided by a hash of topic, partition and broker, so that the partitions of one broker
// have their other replicas on many brokers and its failure burdens them all a little.
//
// The caller is package placement/controller, on the leader of the controller group.
package plan
