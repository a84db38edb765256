// Brokerctl is the command line of a Runnel cluster: topics, brokers, partitions and their placement, producing from stdin,
// consuming to stdout, and a load generator.
//
// Data flows one way: a command parses its flags into typed values, asks the cluster through the SDK (the interface in
// cluster.go, which tests replace), and hands the answer to output.go, which prints it as a table or as JSON. There is
// one file for each noun, and one for a verb that is long (drain.go, recover.go, topicalter.go). JSON goes to stdout and its
// keys are stable; what is for a person only (warnings, rates, progress, questions) goes to stderr.
//
// What loses data or cannot be undone asks whoever sits at a terminal (confirm.go), and wants --yes where nobody does.
//
// Errors are one line on stderr that says what happened and what to do. The exit status is 0 only on success: also where nobody reads
// stderr. That whoever reads the results stops, as head does, is no failure (pipe.go).
package main
