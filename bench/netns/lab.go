package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	switchName  = "switch"
	clientsName = "clients"
	clientsIP   = "10.0.0.100"
	// etcNetns holds, by namespace, what replaces files of /etc for a program that ip starts there.
	etcNetns = "/etc/netns"
	// commandWithin bounds one call of ip.
	commandWithin = 10 * time.Second
)

// lab is the network: namespaces whose names begin with prefix.
type lab struct{ prefix string }

func (l lab) name(part string) string { return l.prefix + "-" + part }

// command runs a program for the network. It is not cut short by a run's end, or a fault would stay.
func command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandWithin)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// steps runs commands in order, each in a namespace, until one fails.
func (l lab) steps(commands ...[]string) error {
	for _, c := range commands {
		if err := command(c[0], append([]string{"-n", l.name(c[1])}, c[2:]...)...); err != nil {
			return err
		}
	}
	return nil
}

// create makes the switch and connects the clients.
func (l lab) create() error {
	if err := command("ip", "netns", "add", l.name(switchName)); err != nil {
		return err
	}
	if err := l.steps(
		[]string{"ip", switchName, "link", "add", "br0", "type", "bridge"},
		[]string{"ip", switchName, "link", "set", "br0", "up"},
	); err != nil {
		return err
	}
	return l.connect(clientsName, clientsIP)
}

// connect makes a host with an address, at a port of the switch that has the host's name.
func (l lab) connect(host, address string) error {
	if err := command("ip", "netns", "add", l.name(host)); err != nil {
		return err
	}
	etc := filepath.Join(etcNetns, l.name(host))
	if err := os.MkdirAll(etc, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver "+clientsIP+"\n"), 0o644); err != nil {
		return err
	}
	if err := l.steps(
		[]string{"ip", switchName, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", l.name(host)},
		[]string{"ip", switchName, "link", "set", host, "master", "br0", "up"},
		[]string{"ip", host, "link", "set", "lo", "up"},
	); err != nil {
		return err
	}
	// A host says where it is when its link comes up, as those of real networks do: others would send to whoever had its address before.
	const say = "echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_notify"
	if err := command("ip", "netns", "exec", l.name(host), "sh", "-c", say); err != nil {
		return err
	}
	return l.readdress(host, address)
}

// readdress gives a host another address in place of the one it has.
func (l lab) readdress(host, address string) error {
	return l.steps(
		[]string{"ip", host, "link", "set", "eth0", "down"},
		[]string{"ip", host, "addr", "flush", "dev", "eth0"},
		[]string{"ip", host, "addr", "add", address + "/24", "dev", "eth0"},
		[]string{"ip", host, "link", "set", "eth0", "up"},
	)
}

// cable takes a host's cable out of the switch, or puts it in.
func (l lab) cable(host string, in bool) error {
	state := "down"
	if in {
		state = "up"
	}
	return l.steps([]string{"ip", switchName, "link", "set", host, state})
}

// deaf has nothing from the switch reach a host, while what the host sends still gets everywhere: a token bucket smaller than any packet.
func (l lab) deaf(host string, on bool) error {
	if !on {
		return l.steps([]string{"tc", switchName, "qdisc", "del", "dev", host, "root"})
	}
	return l.steps([]string{"tc", switchName, "qdisc", "add", "dev", host, "root", "tbf", "rate", "1kbit", "burst", "10b", "limit", "10b"})
}

// slow has a host send and receive no faster than this, with up to 200 ms of packets waiting.
func (l lab) slow(host, rate string, on bool) error {
	for _, end := range [][2]string{{switchName, host}, {host, "eth0"}} {
		c := []string{"tc", end[0], "qdisc", "del", "dev", end[1], "root"}
		if on {
			c = []string{"tc", end[0], "qdisc", "add", "dev", end[1], "root", "tbf", "rate", rate, "burst", "16kb", "latency", "200ms"}
		}
		if err := l.steps(c); err != nil {
			return err
		}
	}
	return nil
}

// lose has a host send nothing to an address; what comes from there still arrives.
func (l lab) lose(host, address string, on bool) error {
	verb := "del"
	if on {
		verb = "add"
	}
	return l.steps([]string{"ip", host, "route", verb, "blackhole", address + "/32"})
}

// destroy ends what runs on a host and removes it, its port of the switch with it.
func (l lab) destroy(host string) error {
	name := l.name(host)
	_ = l.steps([]string{"ip", switchName, "link", "del", host}) // it would go with the namespace, but later than another of its name may come
	errs := []error{killIn(name), command("ip", "netns", "delete", name), os.RemoveAll(filepath.Join(etcNetns, name))}
	_ = os.Remove(etcNetns) // fails, and stays, if others are in it
	return errors.Join(errs...)
}

// killIn ends the processes of a namespace and waits until none is left.
func killIn(name string) error {
	deadline := time.Now().Add(commandWithin)
	for {
		out, err := exec.Command("ip", "netns", "pids", name).Output()
		if err != nil {
			return fmt.Errorf("ip netns pids %s: %w", name, err)
		}
		pids := strings.Fields(string(out))
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %s do not end", strings.Join(pids, ", "))
		}
		if err := killAll(pids); err != nil {
			return err
		}
		waitABit()
	}
}

// remove removes everything whose name begins with the prefix.
func (l lab) remove() error {
	all, err := namespaces()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range all {
		if host, ours := strings.CutPrefix(name, l.prefix+"-"); ours {
			errs = append(errs, l.destroy(host))
		}
	}
	return errors.Join(errs...)
}

// namespaces lists the machine's named network namespaces.
func namespaces() ([]string, error) {
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, nil
}
