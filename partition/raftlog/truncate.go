package raftlog

import (
	bolt "go.etcd.io/bbolt"

	"github.com/runnel-io/runnel/partition/env/mutant"
)

// deleteChunk is how many entries one transaction deletes at most; 50,000 in one took bbolt ten seconds.
const deleteChunk = 1000

// dropSegmentsAbove unlinks the files that a truncation to index makes empty, from the highest down, the folder synced
// after each: a crash in between leaves a valid, shorter log (RULES 5). The new term is durable by then. The segment
// that starts at index itself stays, since the one before it may be sealed.
func (l *Log) dropSegmentsAbove(index uint64) error {
	if seg := l.segs[len(l.segs)-1]; seg.first <= index || len(l.segs) == 1 {
		return nil
	}
	folder, err := l.s.disk.openDir(l.dir)
	if err != nil {
		return err
	}
	defer folder.close()
	for {
		seg := l.segs[len(l.segs)-1]
		if seg.first <= index || len(l.segs) == 1 {
			return nil
		}
		seg.file.drop() // first: nobody shall find the file missing
		if err := l.s.disk.remove(seg.file.path); err != nil {
			return err
		}
		if !mutant.On(mutant.TruncationNotSynced) {
			if err := folder.sync(); err != nil {
				return err
			}
		}
		// What the removed file's header said about the one before it will not hold any more.
		l.segs[len(l.segs)-2].file.recheck(headerCheck(l.id, l.segs[len(l.segs)-2].first))
		l.mu.Lock()
		freed := l.truncateMemoryLocked(seg.first)
		l.segs[len(l.segs)-1] = nil
		l.segs = l.segs[:len(l.segs)-1]
		prev := l.segs[len(l.segs)-1]
		l.last, l.next, l.runMax = prev.last, prev.next, prev.runMax
		if l.offered == nil && prev.ckptIndex < l.ckpt.Index {
			// The newest checkpoint went with the file: the next transaction writes it again.
			cp := l.ckpt
			l.offered = &cp
		}
		l.mu.Unlock()
		l.s.tails.sub(freed)
	}
}

// truncateMemoryLocked forgets the entries from index on, and returns the memory that was freed.
func (l *Log) truncateMemoryLocked(from uint64) (freed int64) {
	freed = l.tail.truncate(from)
	l.runs = cutRuns(l.runs, from)
	l.truncateWindowsLocked(from)
	return freed
}

// thinOut deletes from the end of a segment in transactions of their own as long as more than one chunk would be left
// for the one that brings the new entries.
func (l *Log) thinOut(seg *segment, st *segState, cut uint64) error {
	for st.last >= cut && st.last-cut >= deleteChunk {
		to := max(cut, st.last-deleteChunk+1)
		l.mu.Lock()
		commit := l.commit
		l.mu.Unlock()
		err := seg.file.update(room{bytes: slackBytes, spare: true}, func(tx *bolt.Tx) error {
			b := tx.Bucket(bucketLog)
			b.FillPercent = 1.0
			if err := deleteFrom(tx, b, st, seg.first, to); err != nil {
				return err
			}
			st.commit = min(commit, st.last)
			return tx.Bucket(bucketState).Put(keyOnly, st.encode())
		})
		if err != nil {
			return err
		}
		l.mu.Lock()
		freed := l.truncateMemoryLocked(to)
		seg.apply(st)
		l.last, l.next, l.runMax = st.last, st.next, st.runMax
		l.mu.Unlock()
		l.s.tails.sub(freed)
	}
	return nil
}

// deleteFrom deletes the entries from index cut on, by key, and moves st back to the entry before it.
func deleteFrom(tx *bolt.Tx, b *bolt.Bucket, st *segState, first, cut uint64) error {
	var key [8]byte
	for i := st.last; i >= cut && i >= first; i-- {
		k := indexKey(&key, i)
		c := b.Cursor()
		ck, v := c.Seek(k)
		if string(ck) != string(k) {
			return corruptf("entry %d is missing", i)
		}
		raw, _, err := rawEntry(b, ck, v)
		if err != nil {
			return err
		}
		h, err := parseEntryHeader(raw, i)
		if err != nil {
			return err
		}
		st.bytes -= int64(h.dataLen) + entryHeaderLen
		if v == nil {
			err = b.DeleteBucket(k)
		} else {
			err = b.Delete(k)
		}
		if err != nil {
			return err
		}
	}
	st.last = cut - 1
	st.runs = cutRuns(st.runs, cut)
	if st.last >= first {
		h, err := findEntry(b, st.last)
		if err != nil {
			return err
		}
		st.next, st.runMax = h.meta.Next, h.runMax
		// The last entry that has an append time may be any. That of what is deleted is no earlier: at worst retention comes later.
		if h.meta.AppendMS > 0 {
			st.lastAppendMS = h.meta.AppendMS
		}
		return nil
	}
	hb := tx.Bucket(bucketHeader)
	if hb == nil {
		return corruptf("segment %d has no header", first)
	}
	h, err := decodeSegHeader(hb.Get(keyOnly))
	if err != nil {
		return err
	}
	st.next, st.runMax, st.bytes = h.base, h.runMax, 0
	st.lastAppendMS, st.firstAppendMS = 0, 0
	return nil
}
