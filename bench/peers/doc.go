// Command peers measures Runnel beside other systems that keep a replicated log: NATS JetStream and Apache Kafka, in the
// newest releases, fetched and never vendored. All run on this machine, three servers each, in the same run and
// interleaved: the first run of every system, then the second, and so on; never two at once.
//
// The runner (run.go) starts a system afresh for each of its runs and carries out the rows (rows.go) one after another.
// Each measurement is a process of its own (measure.go): the load generator of brokerctl bench on the system's client, so
// payloads, windows, send schedules and histograms are the same code for all. What was acknowledged is then read back and
// counted; a run in which the counts differ has failed. Its topic is deleted, and Runnel, which tells how far that is, is
// waited for before the next one.
//
// The peers get each way to batch that their clients have. All are tried in the first run and printed; those that come
// near the best go on, and the best of them counts. The table and the ratios are in table.go, the JSON in results.go.
package main
