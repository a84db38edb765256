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
	if err := k.drop(all); err != nil {
		return fmt.Errorf("gossip: keys: %w", err)
	}
	for _, key := range all {
		if err := k.ring.AddKey(key); err != nil {
			return fmt.Errorf("gossip: keys: %w", err)
		}
	}
	if err := k.ring.UseKey(all[0]); err != nil {
		return fmt.Errorf("gossip: keys: %w", err)
	}
	return nil
}

// drop takes the keys that are not in all off the ring. RemoveKey moves what is behind the key it takes, within the slice that readers of the
// ring hold, so it may only ever take the last: those that stay go to the front before. UseKey encrypts with them for a moment, which others
// understand, since they are no new ones.
func (k *keys) drop(all [][]byte) error {
	have := k.ring.GetKeys()
	if !slices.ContainsFunc(have, func(key []byte) bool { return !among(all, key) }) {
		return nil
	}
	stays := slices.DeleteFunc(slices.Clone(all), func(key []byte) bool { return !among(have, key) })
	if len(stays) == 0 { // the ring must have one
		stays = all[:1]
		if err := k.ring.AddKey(all[0]); err != nil {
			return err
		}
	}
	for _, key := range slices.Backward(stays) {
		if err := k.ring.UseKey(key); err != nil {
			return err
		}
	}
	for {
		have = k.ring.GetKeys()
		last := have[len(have)-1]
		if among(all, last) {
			return nil
		}
		if err := k.ring.RemoveKey(last); err != nil {
			return err
		}
	}
}

func among(all [][]byte, key []byte) bool {
	return slices.ContainsFunc(all, func(one []byte) bool { return subtle.ConstantTimeCompare(one, key) == 1 })
}
