package dialer_test

import (
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"smolnet/listener"
	"smolnet/netstack"
)

// largeAnswer is how many addresses a name that starts with "large" has: more
// than fit in a datagram.
const largeAnswer = 100

// serveDNS answers queries for addresses on port 53 of st, over UDP and TCP.
// Names that start with "nx" do not exist, and of those that start with "fail"
// the server says that it cannot tell.
func serveDNS(t testing.TB, st *netstack.Stack, ip4, ip6 netip.Addr) *atomic.Int32 {
	t.Helper()
	queries := new(atomic.Int32)
	answer := func(query []byte, limit int) []byte {
		queries.Add(1)
		var m dnsmessage.Message
		if m.Unpack(query) != nil || len(m.Questions) != 1 {
			return nil
		}
		q := m.Questions[0]
		reply := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true},
			Questions: m.Questions,
		}
		head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
		switch count := 1; {
		case strings.HasPrefix(q.Name.String(), "nx"):
			reply.RCode = dnsmessage.RCodeNameError
		case strings.HasPrefix(q.Name.String(), "fail"):
			reply.RCode = dnsmessage.RCodeServerFailure
		case q.Type == dnsmessage.TypeA:
			if strings.HasPrefix(q.Name.String(), "large") {
				count = largeAnswer
			}
			for range count {
				reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: ip4.As4()}})
			}
		case q.Type == dnsmessage.TypeAAAA:
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: ip6.As16()}})
		}
		b, err := reply.Pack()
		if err == nil && len(b) > limit {
			reply.Answers, reply.Truncated = nil, true
			b, err = reply.Pack()
		}
		if err != nil {
			t.Error(err)
		}
		return b
	}
	pc, err := listener.ListenPacket(st, "udp", ":53")
	require.NoError(t, err)
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			pc.WriteTo(answer(b[:n], 1232), from)
		}
	}()
	l, err := listener.Listen(st, "tcp", ":53")
	require.NoError(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var size [2]byte
				for {
					if _, err := io.ReadFull(c, size[:]); err != nil {
						return
					}
					b := make([]byte, binary.BigEndian.Uint16(size[:]))
					if _, err := io.ReadFull(c, b); err != nil {
						return
					}
					b = answer(b, 65535)
					c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
				}
			}()
		}
	}()
	return queries
}
