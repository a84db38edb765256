// Brokerctl is the command line of a Runnel cluster: topics, brokers, producing from stdin, consuming to stdout, and a
// load generator.
//
// Data flows one way: a command parses its flags into typed values, asks the cluster through the SDK (the interface in
// cluster.go, which tests replace), and hands the answer to output.go, which prints it as a table or as JSON. There is
// one file for each noun. JSON goes to stdout and its keys are stable; what is for a person only (warnings, rates,
// progress) goes to stderr.
//
// Errors are one line on stderr that says what happened and what to do. The exit status is 0 only on success.
package main
