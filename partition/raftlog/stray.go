package raftlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// keptPrefix begins the names of the folders that KeepStrays makes below replicas/; an incarnation follows.
const keptPrefix = "kept-"

// Strays counts the replicas whose folders meta.db does not know, those that KeepStrays kept included. Where no replica was ever made since
// meta.db was, they are of a former life of the data folder, whose meta.db is lost.
func (s *Store) Strays() (int, error) {
	strays, kept, err := s.strays()
	n := len(strays)
	for _, dir := range kept {
		inside, rerr := os.ReadDir(dir)
		n, err = n+len(inside), errors.Join(err, rerr)
	}
	return n, err
}

// KeepStrays moves the folders of a former life to one of their own and answers its path, "" if there are none. Ids of groups and replicas
// count in one cluster only: in another one a new replica may have the name of an old one, whose folder would be removed for it (see Create).
// Call it while there is no cluster yet: later a folder that meta.db does not know is what a crash left, and no loss.
func (s *Store) KeepStrays() (string, error) {
	strays, _, err := s.strays()
	if err != nil || len(strays) == 0 {
		return "", err
	}
	to := filepath.Join(s.replicasDir(), keptPrefix+s.Identity().Incarnation)
	err = s.disk.mkdir(to)
	for _, dir := range strays {
		if err == nil {
			err = s.disk.rename(dir, filepath.Join(to, filepath.Base(dir)))
		}
	}
	if err == nil {
		err = errors.Join(s.disk.syncDir(to), s.disk.syncDir(s.replicasDir()))
	}
	if err != nil {
		return "", fmt.Errorf("keep replicas that meta.db does not know in %s: %w", to, err)
	}
	return to, nil
}

// strays lists the folders of replicas that meta.db does not know, and those made by KeepStrays.
func (s *Store) strays() (strays, kept []string, err error) {
	entries, err := os.ReadDir(s.replicasDir())
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return nil, nil, err
	}
	known := map[string]bool{}
	s.mu.Lock()
	for id := range s.replicas {
		known[s.replicaDir(id)] = true
	}
	s.mu.Unlock()
	for _, e := range entries {
		dir := filepath.Join(s.replicasDir(), e.Name())
		switch {
		case !e.IsDir() || known[dir] || strings.HasSuffix(dir, installSuffix):
		case strings.HasPrefix(e.Name(), keptPrefix):
			kept = append(kept, dir)
		default:
			strays = append(strays, dir)
		}
	}
	return strays, kept, nil
}
