package core_test

import (
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"smolnet/internal/script"
	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

var update = flag.Bool("update", false, "write what came into the scripts")

// TestScripts runs testdata/script; see internal/script/README.md.
func TestScripts(t *testing.T) {
	script.Test(t, "testdata/script", *update, newScripted)
}

// The ends of the connections in scripts: we are a4 or a6, the peer is b4 or b6.
const (
	scriptedServer = 80   // the port of whoever is asked
	scriptedClient = 4000 // the peer's port when it asks, unless it says otherwise
	scriptedTurns  = 64   // of one instant
)

// A scripted is the subject of scripts: a core with an interface that has no link
// addresses, and the one connection that was opened last.
type scripted struct {
	env      script.Env
	cfg      core.Config
	mtu      int
	c        *core.Core
	ifc      *core.Interface
	listener *core.Listener
	opts     core.ListenOptions
	s        *core.TCP
	buf      []byte
	in       [][]byte
	out      []script.Segment
	client   bool   // we have dialled
	local    uint16 // our port
	lastSeq  uint32
	lastPort uint16
	events   tcp.Events
	now      clock.Time
}

func newScripted(env script.Env) (script.Subject, error) {
	return &scripted{env: env, mtu: script.DefaultMTU, cfg: core.Config{Seed: [32]byte{1}}, local: scriptedServer}, nil
}

// Ready makes a scripted the user's end of its connection.
func (u *scripted) Ready(ev tcp.Events) { u.events |= ev }

func (u *scripted) addrs() (us, peer netip.Addr) {
	if u.env.V6 {
		return a6, b6
	}
	return a4, b4
}

// start makes the core.
func (u *scripted) start(now clock.Time) (err error) {
	if u.c != nil {
		return nil
	}
	if u.c, err = core.New(u.cfg); err != nil {
		return err
	}
	u.ifc, err = u.c.AddInterface(now, core.InterfaceConfig{
		Name: "tun0", Addrs: prefixes("192.0.2.1/24", "2001:db8::1/64"),
		Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: u.mtu},
	})
	u.buf = make([]byte, u.mtu)
	return err
}

func (u *scripted) Set(now clock.Time, name string, words []string) error {
	switch {
	case u.s != nil:
		defer u.s.Kick()
		if err := script.Call(u.s, now, name, words); err == nil {
			return nil
		}
		return script.Call(u.s.Conn(), now, name, words)
	case u.c != nil:
		return fmt.Errorf("there is no connection")
	case script.HasField(&u.opts, name):
		return script.SetField(&u.opts, name, words)
	case script.HasField(&u.cfg.TCP, name):
		return script.SetField(&u.cfg.TCP, name, words)
	}
	return script.SetField(&u.cfg, name, words)
}

func (u *scripted) Do(now clock.Time, call string) error {
	if err := u.start(now); err != nil {
		return err
	}
	_, peer := u.addrs()
	switch call {
	case "listen":
		u.opts.Local = port(scriptedServer)
		u.opts.Accept = func(s *core.TCP) {
			u.s = s
			s.SetWaiter(u)
		}
		var err error
		u.listener, err = u.c.ListenTCP(now, u.opts)
		return err
	case "unlisten":
		u.listener.Close(now)
		return nil
	case "connect", "connect fastopen":
		var err error
		u.s, err = u.c.DialTCP(now, core.DialOptions{
			Remote: netip.AddrPortFrom(peer, scriptedServer), Waiter: u, FastOpen: call == "connect fastopen",
		})
		if err == nil {
			u.client, u.local = true, u.s.LocalAddr().Port()
		}
		return err
	}
	return u.leave(call)
}

func (u *scripted) leave(call string) error {
	if u.s == nil {
		return fmt.Errorf("there is no connection")
	}
	switch call {
	case "close":
		u.s.Close()
	case "abort":
		u.s.Abort()
	case "shutdown write":
		u.s.CloseWrite()
	case "shutdown read":
		u.s.CloseRead()
	}
	return nil
}

func (u *scripted) SetMTU(_ clock.Time, n int) error {
	if u.c != nil {
		return fmt.Errorf("the link's MTU does not change: icmp too-big does that of the path")
	}
	u.mtu = n
	return nil
}

// ICMP passes in the message of a router, with the packet that it quotes.
func (u *scripted) ICMP(_ clock.Time, m script.ICMP) error {
	us, peer := u.addrs()
	seq := u.lastSeq
	if m.Quotes {
		seq = m.Seq
	}
	h := wire.TCP{SrcPort: u.local, DstPort: u.portOf(u.lastPort), Seq: seq, Flags: wire.ACK}
	about := tcpPacket(us, peer, h, "")
	var msg wire.ICMP
	if u.env.V6 {
		codes := map[errno.Errno]uint8{errno.NetUnreach: wire.ICMPv6NoRoute, errno.HostUnreach: wire.ICMPv6AddrUnreachable, errno.ConnRefused: wire.ICMPv6PortUnreachable}
		msg = wire.ICMP{Type: wire.ICMPv6Unreachable, Code: codes[m.Err]}
		if m.Err == errno.OK {
			msg = wire.ICMP{Type: wire.ICMPv6PacketTooBig, Rest: uint32(m.MTU)}
		}
	} else {
		codes := map[errno.Errno]uint8{
			errno.NetUnreach: wire.ICMPv4NetUnreachable, errno.HostUnreach: wire.ICMPv4HostUnreachable,
			errno.ProtoNoSupport: wire.ICMPv4ProtUnreachable, errno.ConnRefused: wire.ICMPv4PortUnreachable,
		}
		msg = wire.ICMP{Type: wire.ICMPv4Unreachable, Code: codes[m.Err]}
		if m.Err == errno.OK {
			msg = wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4FragNeeded, Rest: uint32(m.MTU)}
			about[2], about[3] = byte(u.mtu>>8), byte(u.mtu) // what did not fit was larger than this
			fixSum(about)
		}
		about = about[:28]
	}
	if u.env.V6 && m.Err == errno.OK {
		n := u.mtu - wire.IPv6Len
		about[4], about[5] = byte(n>>8), byte(n)
	}
	u.in = append(u.in, icmpPacket(peer, us, 64, msg, about))
	return nil
}

// fixSum completes the header of an IPv4 packet that was changed.
func fixSum(b []byte) {
	b[10], b[11] = 0, 0
	s := ^wire.Sum(b[:wire.IPv4Len], 0)
	b[10], b[11] = byte(s>>8), byte(s)
}

func (u *scripted) Read(b []byte) (int, error) {
	if u.s == nil {
		return 0, errno.NotConn
	}
	return u.s.Read(b)
}

func (u *scripted) Write(b []byte) (int, error) {
	if u.s == nil {
		return 0, errno.NotConn
	}
	return u.s.Write(b)
}

// portOf returns the peer's port for a script's.
func (u *scripted) portOf(p uint16) uint16 {
	switch {
	case p != 0:
		return p
	case u.client:
		return scriptedServer
	}
	return scriptedClient
}

func (u *scripted) Receive(now clock.Time, s *script.Segment) error {
	if err := u.start(now); err != nil {
		return err
	}
	us, peer := u.addrs()
	h := s.TCP
	h.SrcPort, h.DstPort = u.portOf(s.Port), u.local
	b := tcpPacket(peer, us, h, string(s.Data))
	if u.env.V6 {
		b[1] |= byte(s.ECN) << 4
	} else {
		b[1] |= byte(s.ECN)
		fixSum(b)
	}
	u.in = append(u.in, b)
	return nil
}

// turn runs turns of the core until nothing moves.
func (u *scripted) turn(now clock.Time) error {
	if u.c == nil || now == u.now && len(u.in) == 0 && !u.c.Pending() {
		return nil
	}
	u.now = now
	for range scriptedTurns {
		u.c.BeginTurn(now)
		for _, b := range u.in {
			u.ifc.Receive(now, phy.Frame{Data: b})
		}
		u.in = nil
		for {
			n, _ := u.ifc.Send(now, u.buf)
			if n == 0 {
				break
			}
			if err := u.take(u.buf[:n]); err != nil {
				return err
			}
		}
		u.c.EndTurn(now)
		if d := u.c.Deadline(); !d.Due(now) {
			return nil
		}
	}
	return fmt.Errorf("%d turns, and there is more to do", scriptedTurns)
}

// take notes a packet that was sent.
func (u *scripted) take(b []byte) error {
	us, peer := u.addrs()
	var s script.Segment
	var body []byte
	var src, dst netip.Addr
	if b[0]>>4 == 6 {
		h, rest, err := wire.ParseIPv6(b)
		if err != nil || h.NextHeader != wire.ProtoTCP {
			return fmt.Errorf("what was sent is no segment: %v %w", h, err)
		}
		src, dst, body, s.ECN = h.Src, h.Dst, rest, script.ECN(h.TrafficClass&3)
	} else {
		h, rest, err := wire.ParseIPv4(b)
		if err != nil || h.Protocol != wire.ProtoTCP {
			return fmt.Errorf("what was sent is no segment: %v %w", h, err)
		}
		src, dst, body, s.ECN = h.Src, h.Dst, rest, script.ECN(h.TOS&3)
	}
	if src != us || dst != peer || !wire.VerifyChecksum(src, dst, wire.ProtoTCP, body) {
		return fmt.Errorf("a segment from %v to %v, or its checksum is wrong", src, dst)
	}
	data, err := wire.ParseTCP(body, &s.TCP)
	if err != nil {
		return err
	}
	s.Data = slices.Clone(data)
	if s.SrcPort != u.local {
		return fmt.Errorf("a segment from port %d, not %d", s.SrcPort, u.local)
	}
	if s.DstPort != u.portOf(0) {
		s.Port = s.DstPort
	}
	u.lastSeq, u.lastPort = s.Seq, s.Port
	u.out = append(u.out, s)
	return nil
}

func (u *scripted) Send(now clock.Time) (script.Segment, bool, error) {
	if len(u.out) == 0 {
		if err := u.turn(now); err != nil {
			return script.Segment{}, false, err
		}
	}
	if len(u.out) == 0 {
		return script.Segment{}, false, nil
	}
	s := u.out[0]
	u.out = u.out[1:]
	return s, true, nil
}

func (u *scripted) Deadline() clock.Time {
	if u.c == nil {
		return 0
	}
	return u.c.Deadline()
}

func (u *scripted) Info() any {
	if u.s == nil {
		return nil
	}
	return u.s.Conn().Info()
}

func (u *scripted) Stats() any {
	if u.c == nil {
		return nil
	}
	return u.c.Stats()
}

func (u *scripted) Err() error {
	if u.s == nil {
		return nil
	}
	return u.s.Err().Err()
}

// scriptedEvents are the names of tcp.Events, from the lowest bit on.
var scriptedEvents = []string{"connected", "readable", "writable", "peer-closed", "failed", "time-wait", "closed", "fin-acked"}

func (u *scripted) Events() []string {
	var names []string
	for i, name := range scriptedEvents {
		if u.events&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	u.events = 0
	return names
}
