// Package powercut is a disk that loses power, for tests. A Recorder notes every write that bbolt makes, every sync (two a
// commit, unless NoSync), and every change of a folder. A Disk that is fed these events can then be cut after any of them: all
// that was synced is kept and, of the rest, nothing, everything or any subset: sectors of 512 bytes of unsynced writes, and a
// prefix of the unsynced changes of each folder.
//
// Syncs are inferred from bbolt's fixed order within a commit and from its NoSync flag, not from system calls.
package powercut
