package conn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"smolnet/netstack"
	"smolnet/netstack/core"
)

var errNoServers = errors.New("no DNS servers are configured")

// Resolver returns a resolver that asks the stack's DNS servers over the stack.
// It is Go's own resolver: names are looked up in the machine's hosts file
// first, queries go out over UDP and, where the answer was cut, over TCP. All
// ask the first server until it fails (it does not answer in time, or says that
// it cannot), then the next one until that fails, and so on in a circle.
//
// Go's resolver has a channel for all of the process, made at its first use. In
// programs that use it inside testing/synctest that must be outside of a bubble:
// look up "localhost" in TestMain.
func Resolver(st *netstack.Stack) *net.Resolver {
	s := &servers{addrs: st.Config().DNS}
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			if len(s.addrs) == 0 {
				return nil, OpError("dial", "", network, nil, nil, errNoServers)
			}
			return s.dial(ctx, st, network)
		},
	}
}

// servers are the DNS servers of a resolver, at least one.
type servers struct {
	addrs   []netip.AddrPort
	current atomic.Uint32 // index of the one that is asked
}

// failed moves on from server i, unless that was done before.
func (s *servers) failed(i uint32) { s.current.CompareAndSwap(i, (i+1)%uint32(len(s.addrs))) }

// dial connects to the current server.
func (s *servers) dial(ctx context.Context, st *netstack.Stack, network string) (net.Conn, error) {
	i := s.current.Load()
	server := s.addrs[i]
	if strings.HasPrefix(network, "tcp") {
		c, err := ConnectTCP(ctx, st, network, core.DialOptions{Remote: server})
		if err != nil {
			s.failed(i)
			return nil, OpError("dial", "connect", network, nil, net.TCPAddrFromAddrPort(server), err)
		}
		return serverTCP{c, s, i}, nil
	}
	c, err := OpenUDP(st, UDPOptions{Network: network, Remote: server})
	if err != nil {
		s.failed(i)
		return nil, OpError("dial", "connect", network, nil, net.UDPAddrFromAddrPort(server), err)
	}
	return serverUDP{c, s, i}, nil
}

// A serverTCP is a connection to server i.
type serverTCP struct {
	*TCP
	servers *servers
	i       uint32
}

func (c serverTCP) Read(b []byte) (int, error) {
	n, err := c.TCP.Read(b)
	if err != nil {
		c.servers.failed(c.i)
	}
	return n, err
}

// A serverUDP is a socket for the questions to server i.
type serverUDP struct {
	*UDP
	servers *servers
	i       uint32
}

func (c serverUDP) Read(b []byte) (int, error) {
	n, err := c.UDP.Read(b)
	if err != nil || !answered(b[:n]) {
		c.servers.failed(c.i)
	}
	return n, err
}

// The response codes of a server that has done its work, RFC 1035 4.1.1.
const (
	dnsNoError   = 0
	dnsNameError = 3
)

// answered reports whether a DNS message says that the server has looked for an
// answer: there is one, or it knows that there is none.
func answered(b []byte) bool {
	const rcodeAt, rcodeMask = 3, 0xf
	if len(b) <= rcodeAt {
		return false
	}
	code := b[rcodeAt] & rcodeMask
	return code == dnsNoError || code == dnsNameError
}
