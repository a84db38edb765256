// Command rows runs the figures that Runnel is judged by: three real brokers, replication factor 3, every acknowledgement on
// disk on a majority, load and brokers on the same machine. It prints a table and appends the results, with commit, machine and
// settings, to bench/results.
//
// A row is measured by `brokerctl bench`, on a topic of its own, in the same cluster as the others; a run begins once no broker has
// anything left to delete of the one before. With -limit the raw
// cost of the same bytes on the same disk is measured right beside each throughput row: three files appended to with one
// fdatasync a batch. Beside each row that writes stands how many durable transactions that took, as the brokers' metrics say,
// and how many records travelled in each. The last row restarts the brokers to read from a cold disk. With -profile the three
// brokers' CPU, heap, block and mutex profiles are taken while a row runs.
//
// Each row runs several times; the table gives the median, and the least and the greatest.
package main
