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
// part of the data: losing it loses nothing.
const addressFile = "last-peer-address"

// refuseCopy keeps a copy of a data folder from running beside the original: two processes would vote as one replica. A
// folder that was in service at another address is a copy, if the same broker still answers there.
func (b *Broker) refuseCopy(ctx context.Context) error {
	raw, err := os.ReadFile(filepath.Join(b.cfg.DataDir, addressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	at := strings.TrimSpace(string(raw))
	if at == "" || at == b.addrs.Peer {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	who, err := b.peers.Who(ctx, at)
	id := b.store.Identity()
	if err != nil || who.ClusterID != id.ClusterID || who.BrokerID != id.BrokerID || who.Nonce == b.nonce {
		return nil // moved: nobody, or somebody else, is there now
	}
	return fmt.Errorf("broker %d already runs at %s as another process, so %s is a copy of its data folder: stop one of them, or empty this folder to join as a new broker",
		id.BrokerID, at, b.cfg.DataDir)
}

// noteAddress remembers where this folder is in service.
func (b *Broker) noteAddress() error {
	path := filepath.Join(b.cfg.DataDir, addressFile)
	if err := os.WriteFile(path+".tmp", []byte(b.addrs.Peer+"\n"), 0o640); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
