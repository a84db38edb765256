package raftlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
)

// meta.db carries a sum over all of its keys and values. bbolt has no checksums but on its meta pages, and here a wrong bit can do what
// no later check notices: a replica's key that became another's has its replica forgotten and made anew under its id, to vote a
// second time (I19); a reference to a page of an earlier transaction brings back an old vote (I15). So a file whose sum is not right is
// unreadable, which is a wiped disk.

// keySum is in bucketBroker: the transaction that wrote it, and the sum. A release that does not know the sum leaves it as of an
// earlier transaction; it counts for nothing then.
var keySum = []byte("sum")

// pairSum is what one key contributes: the sum is these by exclusive or, so that a change costs no walk over the file.
func pairSum(bucket, key, value []byte) uint64 {
	h := sha256.New()
	var n [16]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(bucket)))
	binary.LittleEndian.PutUint64(n[8:], uint64(len(key)))
	for _, b := range [][]byte{n[:], bucket, key, value} {
		h.Write(b) // never fails
	}
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// storedSum is the sum that was stored by a transaction.
func storedSum(tx *bolt.Tx, by int) (sum uint64, ok bool) {
	v := tx.Bucket(bucketBroker).Get(keySum)
	if len(v) != 16 || binary.LittleEndian.Uint64(v) != uint64(by) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(v[8:]), true
}

// wholeSum walks over all of meta.db.
func wholeSum(tx *bolt.Tx) (sum uint64, err error) {
	for _, name := range [][]byte{bucketBroker, bucketReplicas, bucketQuarantine} {
		b := tx.Bucket(name)
		if b == nil {
			return 0, corruptf("meta.db has no bucket %q", name)
		}
		err := b.ForEach(func(k, v []byte) error {
			if !bytes.Equal(k, keySum) {
				sum ^= pairSum(name, k, v)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// checkSum compares the stored sum with the file.
func checkSum(tx *bolt.Tx) error {
	got, err := wholeSum(tx)
	if err != nil {
		return err
	}
	if want, ok := storedSum(tx, tx.ID()); ok && got != want {
		return corruptf("meta.db: checksum %016x, stored %016x", got, want)
	}
	return nil
}

// putMeta changes one key of meta.db, deleteMeta takes it away; both keep the sum. Nothing else may write there.
func putMeta(tx *bolt.Tx, bucket, key, value []byte) error {
	return changeMeta(tx, bucket, key, func(b *bolt.Bucket) (uint64, error) { return pairSum(bucket, key, value), b.Put(key, value) })
}

func deleteMeta(tx *bolt.Tx, bucket, key []byte) error {
	return changeMeta(tx, bucket, key, func(b *bolt.Bucket) (uint64, error) { return 0, b.Delete(key) })
}

func changeMeta(tx *bolt.Tx, bucket, key []byte, change func(*bolt.Bucket) (uint64, error)) error {
	sum, ok := storedSum(tx, tx.ID())
	if !ok {
		sum, ok = storedSum(tx, tx.ID()-1)
	}
	if !ok {
		var err error
		if sum, err = wholeSum(tx); err != nil {
			return err
		}
	}
	b := tx.Bucket(bucket)
	if old := b.Get(key); old != nil {
		sum ^= pairSum(bucket, key, old)
	}
	now, err := change(b)
	if err != nil {
		return err
	}
	var v [16]byte
	binary.LittleEndian.PutUint64(v[:], uint64(tx.ID()))
	binary.LittleEndian.PutUint64(v[8:], sum^now)
	return tx.Bucket(bucketBroker).Put(keySum, v[:])
}
