package certs

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
)

// maxKeys bounds a file of keys: during a change there are two.
const maxKeys = 16

// Keys are the keys of gossip, kept in one file.
type Keys struct {
	watch *watch
	have  [][]byte
}

// OpenKeys reads the file at path: keys of AES in base64, one a line; the first encrypts, all decrypt. What cannot be used is read again until ctx
// ends. Once it has answered, apply is told of each change, by Look.
func OpenKeys(ctx context.Context, path string, apply func(keys [][]byte) error, o Options) (*Keys, error) {
	k := &Keys{}
	k.watch = &watch{use: useGossip, paths: []string{path}, log: o.Log, metrics: o.Metrics}
	k.watch.take = func(contents [][]byte) (err error) {
		k.have, err = parseKeys(contents[0])
		return err
	}
	if err := k.watch.open(ctx); err != nil {
		return nil, fmt.Errorf("gossip.key.file: %s: %w", path, err)
	}
	k.watch.take = func(contents [][]byte) error {
		keys, err := parseKeys(contents[0])
		if err != nil {
			return err
		}
		return apply(keys)
	}
	o.Metrics.known(useGossip)
	return k, nil
}

// Opened are the keys that OpenKeys read.
func (k *Keys) Opened() [][]byte { return k.have }

// Look takes a changed file. It is for one goroutine at a time.
func (k *Keys) Look() { k.watch.look() }

// parseKeys never says what a line holds.
func parseKeys(text []byte) ([][]byte, error) {
	var keys [][]byte
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is no base64", n)
		}
		if l := len(key); l != 16 && l != 24 && l != 32 {
			return nil, fmt.Errorf("line %d is a key of %d bytes: 16, 24 or 32 are wanted", n, l)
		}
		for i, other := range keys {
			if subtle.ConstantTimeCompare(key, other) == 1 {
				return nil, fmt.Errorf("line %d is the same key as the %d. one", n, i+1)
			}
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("there is no key: write one in base64, such as head -c 32 /dev/urandom | base64 makes")
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("there are %d keys: at most %d are wanted", len(keys), maxKeys)
	}
	return keys, nil
}
