package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// addressFile holds the peer address that this data folder was last in service at. It is a hint for refuseCopy and not
// part of the data: losing it loses nothing, so that no error of it keeps a broker from starting.
const addressFile = "last-peer-address"

// notedAddress reads the hint, "" if there is none. One that cannot be read tells of a sick disk and not of a copy, which would have needed
// to read it, too: with it the broker goes on as without a hint.
func (b *Broker) notedAddress() string {
	path := filepath.Join(b.cfg.DataDir, addressFile)
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("cannot read where this data folder was last in service: it is not looked whether it is a copy of one that is in service there",
			"component", "broker", "path", path, "error", err)
	}
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// refuseCopy keeps a copy of a data folder from running beside the original: two processes would vote as one replica. A
// folder that was in service at another address is a copy, if the same broker still answers there.
func (b *Broker) refuseCopy(ctx context.Context, noted string) error {
	if noted == "" || noted == b.addrs.Peer {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	who, err := b.peers.Who(ctx, noted)
	id := b.store.Identity()
	if err != nil || who.ClusterID != id.ClusterID || who.BrokerID != id.BrokerID || who.Nonce == b.nonce {
		return nil // moved: nobody, or somebody else, is there now
	}
	return fmt.Errorf("broker %d already runs at %s as another process, so %s is a copy of its data folder: stop one of them, or empty this folder to join as a new broker",
		id.BrokerID, noted, b.cfg.DataDir)
}

// noteAddress remembers where this folder is in service, and writes only if that is new: the disk may be full.
func (b *Broker) noteAddress(noted string) {
	if noted == b.addrs.Peer {
		return
	}
	path := filepath.Join(b.cfg.DataDir, addressFile)
	err := os.WriteFile(path+".tmp", []byte(b.addrs.Peer+"\n"), 0o640)
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		b.log.Warn("cannot note where this data folder is in service: until a start that can, a copy of it may not be told from it",
			"component", "broker", "path", path, "error", err)
		_ = os.Remove(path + ".tmp") // what a full disk left of it; the next start writes it anew
	}
}
