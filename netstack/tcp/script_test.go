package tcp_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	lang "smolnet/internal/script"
	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

var update = flag.Bool("update", false, "write what came into the scripts")

// TestScripts runs testdata/script; see internal/script/README.md.
func TestScripts(t *testing.T) {
	lang.Test(t, "testdata/script", *update, newScripted)
}

// A scripted is the subject of scripts: a connection, what its owner does, and
// the user's end.
type scripted struct {
	env       lang.Env
	cfg       tcp.Config
	id        tcp.ID
	pool      *stream.Pool
	mtu       int // bytes of an IP packet
	listening bool
	used      bool // the configuration is
	c         *tcp.Conn
	old       *tcp.TimeWait
	buf       []byte
	answers   []wire.TCP // what the owner owes
	in        *stream.Stream
	events    tcp.Events
	peerEnd   bool
}

func newScripted(env lang.Env) (lang.Subject, error) {
	u := &scripted{
		env: env, mtu: lang.DefaultMTU, pool: stream.NewPool(0),
		id: tcp.ID{Local: netip.MustParseAddrPort("192.0.2.1:4321"), Remote: netip.MustParseAddrPort("198.51.100.2:80")},
	}
	if env.V6 {
		u.id = tcp.ID{Local: netip.MustParseAddrPort("[2001:db8::1]:4321"), Remote: netip.MustParseAddrPort("[2001:db8::2]:80")}
	}
	return u, nil
}

// payload is what an IP packet has room for.
func (u *scripted) payload(mtu int) int {
	if u.env.V6 {
		return mtu - 40
	}
	return mtu - 20
}

func (u *scripted) Set(now clock.Time, name string, words []string) error {
	if !u.used {
		return lang.SetField(&u.cfg, name, words)
	}
	if u.c == nil {
		return fmt.Errorf("there is no connection")
	}
	return lang.Call(u.c, now, name, words)
}

// open makes the connection.
func (u *scripted) open() {
	u.used = true
	u.c = new(tcp.Conn)
	u.c.Init(u.id, &u.cfg, u.pool)
	u.in, u.peerEnd = &u.c.In, false
	room := u.env.Room
	if room == 0 {
		room = u.payload(u.mtu)
	}
	u.buf = make([]byte, room)
}

func (u *scripted) Do(now clock.Time, call string) error {
	call, args, _ := strings.Cut(call, " ")
	switch {
	case call == "listen":
		u.used, u.listening = true, true
	case call == "unlisten":
		u.listening = false
	case call == "connect":
		if u.c != nil || u.old != nil {
			return fmt.Errorf("the name is taken")
		}
		u.open()
		return u.connect(now, strings.Fields(args))
	case u.c == nil:
		return fmt.Errorf("there is no connection")
	default:
		u.leave(now, strings.TrimSpace(call+" "+args))
	}
	return nil
}

// connect opens the connection: with fastopen as one that has no cookie, or the one
// that is named, and the MSS that the server announced before.
func (u *scripted) connect(now clock.Time, args []string) error {
	if len(args) == 0 {
		u.c.Connect(now, tcp.Seq(u.env.ISS), u.payload(u.mtu))
		return nil
	}
	var fo tcp.FastOpen
	if len(args) > 1 && args[1] != "request" {
		b, err := hex.DecodeString(args[1])
		if err != nil {
			return err
		}
		fo.Cookie.Len = uint8(copy(fo.Cookie.Bytes[:], b))
	}
	if len(args) > 3 {
		n, err := strconv.ParseUint(args[3], 10, 16)
		if err != nil {
			return err
		}
		fo.MSS = uint16(n)
	}
	u.c.ConnectFast(now, tcp.Seq(u.env.ISS), u.payload(u.mtu), fo)
	return nil
}

// leave is one of the ways to end a connection.
func (u *scripted) leave(now clock.Time, call string) {
	switch call {
	case "close":
		u.c.Close(now)
	case "abort":
		u.c.Abort(now)
	case "shutdown write":
		u.c.CloseWrite(now)
	case "shutdown read":
		u.c.CloseRead(now)
		return
	}
	u.c.Out.SetLimit(0)
}

func (u *scripted) SetMTU(now clock.Time, n int) error {
	u.mtu = n
	if u.c != nil {
		u.c.SetMTU(now, u.payload(n))
	}
	return nil
}

func (u *scripted) ICMP(now clock.Time, m lang.ICMP) error {
	switch {
	case u.c == nil:
		return fmt.Errorf("there is no connection")
	case m.Quotes && !u.c.InFlight(tcp.Seq(m.Seq)):
	case m.Err == errno.OK:
		u.c.LimitMTU(now, u.payload(m.MTU), 0)
	default:
		u.c.Unreachable(now, m.Err)
	}
	return nil
}

func (u *scripted) Read(b []byte) (int, error) {
	if u.in == nil {
		return 0, errno.NotConn
	}
	if n := u.in.Read(b); n > 0 {
		return n, nil
	}
	switch {
	case u.peerEnd:
		return 0, io.EOF
	case u.c != nil && u.c.Err() != errno.OK:
		return 0, u.c.Err()
	}
	return 0, errno.WouldBlock
}

func (u *scripted) Write(b []byte) (int, error) {
	if u.c == nil {
		return 0, errno.NotConn
	}
	n := u.c.Out.Write(b)
	switch {
	case n == len(b):
		return n, nil
	case u.c.Out.Limit() == 0:
		return n, errno.Pipe
	}
	return n, errno.WouldBlock
}

func (u *scripted) Receive(now clock.Time, s *lang.Segment) error {
	h := s.TCP
	h.SrcPort, h.DstPort = u.id.Remote.Port(), u.id.Local.Port()
	if u.c != nil && u.c.State() != tcp.StateClosed {
		action, _ := receiveMarked(u.c, now, &h, s)
		if action == tcp.ActionReset {
			u.reset(&h, len(s.Data))
		}
		u.collect()
		return nil
	}
	if u.old != nil {
		switch action, _ := u.old.Receive(now, &h, len(s.Data)); {
		case action == tcp.ActionAck:
			var a wire.TCP
			u.old.Ack(now, &a)
			u.answers = append(u.answers, a)
			return nil
		case action != tcp.ActionReopen || !u.listening:
			return nil
		}
	}
	u.arrive(now, &h, s)
	return nil
}

// receiveMarked passes a segment with its codepoint to the connection.
func receiveMarked(c *tcp.Conn, now clock.Time, h *wire.TCP, s *lang.Segment) (tcp.Action, wire.Drop) {
	if s.ECN == lang.CE {
		return c.ReceiveMarked(now, h, s.Data)
	}
	return c.Receive(now, h, s.Data)
}

// arrive is a segment for no connection: LISTEN or CLOSED.
func (u *scripted) arrive(now clock.Time, h *wire.TCP, s *lang.Segment) {
	if !u.listening {
		u.reset(h, len(s.Data))
		return
	}
	switch action, d := tcp.CheckListen(h); {
	case action == tcp.ActionReset:
		u.reset(h, len(s.Data))
	case d == wire.DropNone:
		iss := tcp.Seq(u.env.ISS)
		if u.old != nil {
			iss = u.old.NextISS(iss)
			u.old = nil
		}
		u.open()
		u.c.Accept(now, iss, u.payload(u.mtu), h)
	}
}

func (u *scripted) reset(h *wire.TCP, n int) {
	var r wire.TCP
	if tcp.Reset(h, n, &r) {
		u.answers = append(u.answers, r)
	}
}

func (u *scripted) collect() {
	if u.c == nil {
		return
	}
	ev := u.c.TakeEvents()
	u.events |= ev
	u.peerEnd = u.peerEnd || ev&tcp.EventPeerClosed != 0
}

func (u *scripted) Send(now clock.Time) (lang.Segment, bool, error) {
	if len(u.answers) > 0 {
		s := lang.Segment{TCP: u.answers[0]}
		u.answers = u.answers[1:]
		return s, true, nil
	}
	if u.old != nil && u.old.Deadline().Due(now) {
		u.old = nil
	}
	if u.c == nil {
		return lang.Segment{}, false, nil
	}
	b := u.buf
	if u.env.Room == 0 { // as much as the path takes: no super-segments
		b = b[:min(len(b), u.payload(u.mtu))]
	}
	w, ok := u.c.Send(now, b)
	u.collect()
	if !ok {
		if u.c.State() == tcp.StateTimeWait {
			rec := u.c.TimeWait()
			u.old, u.c = &rec, nil
		}
		return lang.Segment{}, false, nil
	}
	s := lang.Segment{Cut: int(w.SegmentSize), ECN: lang.ECN(w.ECN)}
	var err error
	if s.Data, err = wire.ParseTCP(u.buf[:w.Len], &s.TCP); err != nil {
		return s, false, fmt.Errorf("what was sent cannot be read: %w", err)
	}
	if s.SrcPort != u.id.Local.Port() || s.DstPort != u.id.Remote.Port() || s.Checksum != 0 {
		return s, false, fmt.Errorf("ports %d and %d, checksum %#x", s.SrcPort, s.DstPort, s.Checksum)
	}
	if w.SegmentSize == 0 && w.Len > u.payload(u.mtu) {
		return s, false, fmt.Errorf("a segment of %d bytes for %d", w.Len, u.payload(u.mtu))
	}
	return s, true, nil
}

func (u *scripted) Deadline() clock.Time {
	switch {
	case u.c != nil:
		return u.c.Deadline()
	case u.old != nil:
		return u.old.Deadline()
	}
	return 0
}

func (u *scripted) Info() any {
	switch {
	case u.c != nil:
		return u.c.Info()
	case u.old != nil:
		return tcp.Info{State: tcp.StateTimeWait}
	case u.used:
		return tcp.Info{}
	}
	return nil
}

func (u *scripted) Stats() any { return nil }

func (u *scripted) Err() error {
	if u.c == nil {
		return nil
	}
	return u.c.Err().Err()
}

// eventNames are those of tcp.Events, from the lowest bit on.
var eventNames = []string{"connected", "readable", "writable", "peer-closed", "failed", "time-wait", "closed", "fin-acked"}

func (u *scripted) Events() []string {
	u.collect()
	var names []string
	for i, name := range eventNames {
		if u.events&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	u.events = 0
	return names
}
