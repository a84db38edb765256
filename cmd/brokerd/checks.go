package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/viper"
	"golang.org/x/sys/unix"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
)

// resolveWithin bounds the question for the seeds' names, all of them together.
const resolveWithin = 5 * time.Second

// checkFiles looks whether the files that settings name can be read.
func checkFiles(f *findings, v *viper.Viper) {
	for _, s := range settings {
		name := v.GetString(s.key)
		if !s.kind.IsFile() || name == "" {
			continue
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
			f.fail(s.key, "%v", err)
		case info.IsDir():
			f.fail(s.key, "%s is a folder, a file is meant", name)
		case unix.Access(name, unix.R_OK) != nil:
			f.fail(s.key, "%s cannot be read by this user", name)
		default:
			f.ok(s.key, "%s can be read", name)
		}
	}
}

// checkTLS reads certificates and keys, if the settings are whole.
func checkTLS(ctx context.Context, f *findings, cfg broker.Config) {
	if f.errors > 0 {
		return
	}
	client, peer, err := broker.CheckTLS(ctx, cfg.TLS)
	f.mistakes("tls", err)
	for _, c := range []struct {
		key  string
		ends time.Time
	}{{"tls.client.cert", client}, {"tls.peer.cert", peer}} {
		switch left := time.Until(c.ends); {
		case c.ends.IsZero():
		case left < 7*24*time.Hour:
			f.warn(c.key, "the certificate expires at %s", c.ends.UTC().Format(time.RFC3339))
		default:
			f.ok(c.key, "the certificate fits and is valid until %s", c.ends.UTC().Format(time.DateOnly))
		}
	}
}

// checkFolder looks whether the data folder is there or can be made, can be written, and has room.
func checkFolder(f *findings, cfg broker.Config) {
	const key = "data.dir"
	dir := cfg.DataDir
	if dir == "" {
		return // config has said so
	}
	at, there, err := nearestFolder(dir)
	switch {
	case err != nil:
		f.fail(key, "%v", err)
		return
	case unix.Access(at, unix.W_OK|unix.X_OK) != nil && there:
		f.fail(key, "%s cannot be written by this user", dir)
		return
	case unix.Access(at, unix.W_OK|unix.X_OK) != nil:
		f.fail(key, "%s is not there and cannot be made: this user cannot write to %s", dir, at)
		return
	case !there:
		f.ok(key, "%s is not there and will be made", dir)
	default:
		if _, err := os.Stat(filepath.Join(dir, "meta.db")); err == nil {
			f.ok(key, "%s holds a broker's data", dir)
		} else {
			f.ok(key, "%s holds no broker's data yet", dir)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		f.warn(key, "the free space of %s is not known: %v", at, err)
		return
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:gosec,unconvert // a disk; types differ between systems
	if free < cfg.DiskReserve {
		f.warn("disk", "%s has %d MiB free, below disk.reserve.bytes of %d MiB: the broker starts, and refuses records", at, free>>20, cfg.DiskReserve>>20)
		return
	}
	f.ok("disk", "%s has %d MiB free, of which %d MiB are the reserve", at, free>>20, cfg.DiskReserve>>20)
}

// nearestFolder finds the folder, or the one in which it would be made.
func nearestFolder(dir string) (at string, there bool, err error) {
	at = filepath.Clean(dir)
	for there = true; ; there = false {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return "", false, fmt.Errorf("%s is no folder", at)
		case err == nil:
			return at, there, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", false, err
		}
		up := filepath.Dir(at)
		if up == at {
			return "", false, err
		}
		at = up
	}
}

// checkListen looks whether the addresses to listen on are this host's. Their ports are left alone: a running broker has them.
func checkListen(f *findings, cfg broker.Config) {
	taken := map[string]string{}
	for _, a := range []struct{ key, addr string }{
		{"listen", cfg.Listen}, {"peer.listen", cfg.PeerListen}, {"gossip.listen", cfg.GossipListen}, {"http.listen", cfg.HTTPListen},
	} {
		host, port, err := net.SplitHostPort(a.addr)
		if err != nil {
			continue // config has said so
		}
		if other := taken[a.addr]; other != "" && port != "0" {
			f.fail(a.key, "%s is %s too: give each its own port", a.addr, other)
			continue
		}
		taken[a.addr] = a.key
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			f.fail(a.key, "this host cannot listen on %s: %v", a.addr, err)
			continue
		}
		if err := l.Close(); err != nil {
			f.warn(a.key, "%v", err)
		}
		f.ok(a.key, "%s is an address of this host", a.addr)
	}
}

// checkSeeds looks whether the seeds' names are known. In a cluster that is being set up they may not be yet.
func checkSeeds(ctx context.Context, f *findings, cfg broker.Config) {
	if len(cfg.Seeds) == 0 {
		f.ok("seeds", "none: this is a cluster of one")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	known := 0
	for _, s := range cfg.Seeds {
		host, _, err := net.SplitHostPort(s)
		if err != nil {
			continue // config has said so
		}
		if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
			f.warn("seeds", "%s is not known now: %v", s, err)
			continue
		}
		known++
	}
	if known > 0 {
		f.ok("seeds", "the names of %d of %d are known", known, len(cfg.Seeds))
	}
}
