// Command upgrade runs the previous build and this one in one cluster: three brokers of the previous build are restarted one at a time with
// this one, then back, then forward again, while clients write, read, and create and delete topics. In the middle of each way the cluster
// stays mixed for a while, with partitions led by brokers of both builds. Nothing may be lost or come twice, no call may fail, no record
// may wait longer than -most for its acknowledgement, and after each way each broker must give every record of all ways so far: what one
// build has written the other reads.
//
// If this build has changes that the previous one does not read, they must be refused while a broker runs that one. At the end such a change is
// made, and the previous build must say in words that it cannot go on, and leave everything as it is.
//
// The previous build is the commit that the file PREVIOUS names, or -from. It is taken out of git and compiled from there; where the
// repository has no such commit, as in a shallow clone, the program says so and ends with status 77: it has shown nothing.
package main
