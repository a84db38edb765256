package gossip

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/memberlist"
)

// keys is memberlist's ring of keys, which memberlist reads while it changes.
type keys struct {
	mu   sync.Mutex // one change at a time
	ring *memberlist.Keyring
}

// newKeys makes the ring, or nil without keys.
func newKeys(all [][]byte) (*keys, error) {
	if len(all) == 0 {
		return nil, nil
	}
	ring, err := memberlist.NewKeyring(all, all[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: keys: %w", err)
	}
	return &keys{ring: ring}, nil
}

// SetKeys changes the keys of gossip that runs encrypted. To change a key without a gap, give all brokers the new one as the second, then as
// the first, then alone. Errors: no keys, one of a wrong size, or gossip that runs in plain text.
func (g *Gossip) SetKeys(all [][]byte) error {
	if g.keys == nil {
		return errors.New("gossip: it was started in plain text: restart the broker with gossip.key.file")
	}
	return g.keys.set(all)
}

func (k *keys) set(all [][]byte) error {
	if len(all) == 0 {
		return errors.New("gossip: there must be a key")
	}
	for _, key := range all {
		if err := memberlist.ValidateKey(key); err != nil {
			return fmt.Errorf("gossip: keys: %w", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// The first comes last, since UseKey puts a key in front: what goes is behind all that stay then. RemoveKey moves what is behind the key it
	// takes within the slice that readers of the ring hold, so it may only ever take the last.
	for _, key := range slices.Backward(all) {
		if err := errors.Join(k.ring.AddKey(key), k.ring.UseKey(key)); err != nil {
			return fmt.Errorf("gossip: keys: %w", err)
		}
	}
	for have := k.ring.GetKeys(); len(have) > 0; have = k.ring.GetKeys() {
		last := have[len(have)-1]
		if slices.ContainsFunc(all, func(key []byte) bool { return subtle.ConstantTimeCompare(key, last) == 1 }) {
			return nil
		}
		if err := k.ring.RemoveKey(last); err != nil {
			return fmt.Errorf("gossip: keys: %w", err)
		}
	}
	return nil
}
