// Package disk is a model of a disk that loses power, fed with the system calls of a real process.
//
// Parse reads what strace wrote and gives Events: changes of files and of folders, syncs, and the lines that the process itself
// wrote to say what it has promised. A Disk that steps through them knows after each one what is surely there and what is only
// on its way: of a file, the content as of its last sync and the writes since; of a folder, the names as of its last sync and
// the changes since. Cut chooses how much of what is on its way arrives, and gives an Image: one thing that may be found at the
// next start.
//
// What may happen: any sectors of 512 bytes of unsynced writes, in any order; an unsynced change of a file's size or none; any
// prefix of the unsynced changes of a folder. What fsync or fdatasync returned success for stays.
package disk
