package proxy

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// looks is how often the table is read for one socket: entries that are made or removed meanwhile can make a reader miss others.
const looks = 3

// inodeOf finds the socket of this machine that has these addresses, by its inode. Both are IPv4.
func inodeOf(local, remote netip.AddrPort) (string, error) {
	for range looks {
		// Go's sockets for IPv4 are IPv4 ones; a client in another language may use IPv6's form.
		for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			inode, err := lookUp(table, local, remote)
			if inode != "" || err != nil {
				return inode, err
			}
		}
	}
	return "", fmt.Errorf("no socket from %s to %s", local, remote)
}

func lookUp(table string, local, remote netip.AddrPort) (string, error) {
	f, err := os.Open(table)
	if err != nil {
		return "", err
	}
	defer f.Close()
	wantLocal, wantRemote := inHex(local), inHex(remote)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode ...
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], wantLocal) && strings.HasSuffix(fields[2], wantRemote) {
			return fields[9], nil
		}
	}
	return "", lines.Err()
}

// inHex is an address as the table writes it: the bytes in the machine's order (little endian), then the port.
func inHex(a netip.AddrPort) string {
	ip := a.Addr().Unmap().As4()
	word := binary.LittleEndian.AppendUint32(nil, binary.BigEndian.Uint32(ip[:]))
	return strings.ToUpper(hex.EncodeToString(word)) + ":" + fmt.Sprintf("%04X", a.Port())
}

// holds says whether a process has a descriptor of a socket.
func holds(pid int, inode string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	names, err := os.ReadDir(dir)
	if err != nil {
		return false // it has ended
	}
	want := "socket:[" + inode + "]"
	for _, e := range names {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == want {
			return true
		}
	}
	return false
}
