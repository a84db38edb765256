// Package kafkapeer puts Apache Kafka behind the interface of the comparison: three brokers of the newest release that are
// controllers too (KRaft), and the Go client kgo.
package kafkapeer
