// Package wire writes proto/README.md, the page on the wire protocol: its shape comes from the generated code, its words from the
// comments of the .proto files, the kinds of errors from the function that brokers use. A test fails when the page is stale, or when
// something has no words; `make proto` writes it anew.
package wire
