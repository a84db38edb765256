// Package source makes records of the files of a folder, the Go standard library's source unless told otherwise, and puts the files
// together again from what a reader gets: real data of which every byte can be compared.
//
// # The records
//
// A file's records share its path as their key, so they are in one partition and in order. The first record of a file is
// its header (kind 'F': size and number of pieces); each later one is a piece (kind 'L': a line with its end, or a part
// of a line longer than maxPiece). Every record carries the file's number and its own number within the file, so a
// missing or repeated record is seen as such and not only as a wrong hash.
package source
