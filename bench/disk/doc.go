// Package disk measures what the disk under a folder can do with nothing else to do: files appended to with one fdatasync a
// batch, and transactions of bbolt. It also empties the page cache of files, so that a measurement that follows reads
// from the disk. The commands of the sibling folders print what it answers beside Runnel's own figures.
package disk
