package core_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/phy"
)

// Many are connections from one host to another, driven in turns that are
// bounded as a driver's are: so how much each of them gets is a number, not a
// time.
type many struct {
	t       testing.TB
	w       *world
	a, b    *host
	clients []*core.TCP
	servers []*core.TCP
	buf     []byte
	sink    []byte
	frames  map[uint16]int // from a, by local port
	got     []int          // bytes that the servers' readers read
	reads   func(i int) int
}

// framesPerTurn is how many frames a turn takes from a: less than all of them
// have to send.
const framesPerTurn = 256

func newMany(t testing.TB, n int, opts ...option) *many {
	m := &many{t: t, buf: make([]byte, 14+testMTU), sink: make([]byte, 1<<20), frames: make(map[uint16]int), got: make([]int, n)}
	m.reads = func(int) int { return len(m.sink) }
	m.w, m.a, m.b = pair(t, opts...)
	const each = 10_000 // there are not enough ports for more
	for i := 0; i < n; i += each {
		to := at(b4, uint16(80+i/each))
		srv := m.b.listen(m.w.now, core.ListenOptions{Local: port(to.Port()), Backlog: each})
		byPort := make(map[uint16]int)
		servers := make([]*core.TCP, min(n-i, each))
		for j := range servers {
			c, err := m.a.c.DialTCP(m.w.now, core.DialOptions{Remote: to})
			require.NoError(t, err)
			m.clients = append(m.clients, c)
			byPort[c.LocalAddr().Port()] = j
			if j%100 == 0 { // not all at once: the peer bounds what is half-open
				m.w.run()
			}
		}
		m.w.run()
		require.Len(t, srv.conns, len(servers))
		for _, s := range srv.conns {
			servers[byPort[s.RemoteAddr().Port()]] = s
		}
		m.servers = append(m.servers, servers...)
	}
	return m
}

// turn lets the clients' users write, moves frames, and lets the servers' users
// read.
func (m *many) turn(write func(i int, c *core.TCP)) {
	const portAt = 14 + 20
	m.w.now = m.w.now.Add(100 * time.Microsecond)
	for i, c := range m.clients {
		write(i, c)
	}
	m.a.c.BeginTurn(m.w.now)
	m.b.c.BeginTurn(m.w.now)
	for range framesPerTurn {
		n, off := m.a.eth.Send(m.w.now, m.buf)
		if n == 0 {
			break
		}
		m.frames[binary.BigEndian.Uint16(m.buf[portAt:])]++
		m.b.eth.Receive(m.w.now, phy.Frame{Data: m.buf[:n], Offload: off})
	}
	for i, s := range m.servers {
		if n, _ := s.Read(m.sink[:m.reads(i)]); n > 0 {
			m.got[i] += n
		}
	}
	m.b.c.EndTurn(m.w.now)
	m.b.c.BeginTurn(m.w.now) // what readers want is looked at
	for {
		n, off := m.b.eth.Send(m.w.now, m.buf)
		if n == 0 {
			break
		}
		m.a.eth.Receive(m.w.now, phy.Frame{Data: m.buf[:n], Offload: off})
	}
	m.a.c.EndTurn(m.w.now)
	m.b.c.EndTurn(m.w.now)
}

// bulk has everybody write as much as there is room for.
func (m *many) bulk() func(i int, c *core.TCP) {
	data := make([]byte, 64<<10)
	return func(_ int, c *core.TCP) { _, _ = c.Write(data) }
}

// forget starts the counting anew, after some turns.
func (m *many) forget(turns int, write func(i int, c *core.TCP)) {
	for range turns {
		m.turn(write)
	}
	clear(m.frames)
	clear(m.got)
}

// 64 connections that always have data get the same share of an interface.
func TestFairShares(t *testing.T) {
	const flows, frames = 64, 100_000 // a turn is 45 frames
	m := newMany(t, flows)
	write := m.bulk()
	m.forget(100, write)
	sent := 0
	for sent < frames {
		m.turn(write)
		sent = 0
		for _, n := range m.frames {
			sent += n
		}
	}
	require.Len(t, m.frames, flows)
	for _, n := range m.frames {
		require.InEpsilon(t, float64(sent)/flows, n, 0.05)
	}
}

// One connection whose user writes a thousand times in each turn, a few bytes at
// a time, takes nothing from the others.
func TestSmallWritesAreNotFavoured(t *testing.T) {
	const flows = 16
	m := newMany(t, flows)
	bulk, crumb := m.bulk(), []byte("x")
	write := func(i int, c *core.TCP) {
		if i > 0 {
			bulk(i, c)
			return
		}
		for range 1000 {
			_, _ = c.Write(crumb)
		}
	}
	m.forget(100, write)
	for range 100 {
		m.turn(write)
	}
	least, most := m.got[1], m.got[1]
	for _, n := range m.got[1:] {
		least, most = min(least, n), max(most, n)
	}
	require.InEpsilon(t, most, least, 0.05)
	require.LessOrEqual(t, m.frames[m.clients[0].LocalAddr().Port()], 100*framesPerTurn*105/100/flows)
	require.Positive(t, m.got[0])
}

// A reader who does not read, or hardly, harms nobody: what is meant for it stays
// with its sender, and the others get all that there is.
func TestSlowReaderHarmsNobody(t *testing.T) {
	const flows, turns = 64, 400
	goodput := func(slow int) (busy int) {
		m := newMany(t, flows)
		m.reads = func(i int) int {
			if i == 0 {
				return slow
			}
			return len(m.sink)
		}
		write := m.bulk()
		m.forget(400, write)
		for range turns {
			m.turn(write)
		}
		for _, n := range m.got[1:] {
			busy += n
		}
		if slow < 1000 {
			require.Less(t, m.got[0], turns*slow+1)
			require.Zero(t, m.servers[0].Conn().In.Room()*8/m.servers[0].Conn().In.Limit(), "its buffer is full")
		}
		return busy
	}
	all := goodput(1 << 20)
	require.Greater(t, goodput(0), all*9/10)
	require.Greater(t, goodput(1), all*9/10)
}

// A stack that talks to itself over its loopback interface brings every transfer
// to its end, however small its budget is, and gives it all back.
func TestTinyBudgetOverLoopback(t *testing.T) {
	const flows, size = 8, 100_000
	w, h := alone(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Memory = 96 << 10 })
	srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
	var clients []*core.TCP
	for range flows {
		c, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(netip.MustParseAddr("127.0.0.1"), 80)})
		require.NoError(t, err)
		clients = append(clients, c)
		w.run()
	}
	require.Len(t, srv.conns, flows)
	data, sink := make([]byte, size), make([]byte, 3000)
	sent, got, waits := make([]int, flows), make([]int, flows), 0
	for left := flows * size; left > 0; {
		before := left
		for i, c := range clients {
			if sent[i] < size {
				n, err := c.Write(data[sent[i]:])
				sent[i] += n
				if err == errno.NoBufs {
					waits++
				}
			}
		}
		w.pass(50 * time.Millisecond)
		for i := range srv.conns {
			n, _ := srv.conns[i].Read(sink)
			got[i] += n
			left -= n
		}
		if left == before { // a retransmission may be due first
			w.pass(2 * time.Minute)
			require.Less(t, w.now.Sub(epoch), time.Hour, "no progress: %v", got)
		}
	}
	st := h.c.Stats()
	require.Positive(t, waits)
	require.Positive(t, st.WritesNoMemory)
	require.Positive(t, st.WindowsShrunk)
	for _, c := range append(clients, srv.conns...) {
		c.Close()
	}
	w.pass(3 * time.Minute)
	require.Zero(t, h.c.Stats().Memory)
}

// Timers that come at the same instant are run in several turns, and all of
// them are: idle connections give back their pages.
func TestManyTimersAtOnce(t *testing.T) {
	const n = 3000
	m := newMany(t, n)
	m.w.pass(5 * time.Second)
	idle := m.a.c.Stats().Memory
	text := []byte("text")
	for _, c := range m.clients {
		_, _ = c.Write(text)
	}
	m.w.run()
	require.Greater(t, m.a.c.Stats().Memory, idle)
	m.w.now = m.w.now.Add(10 * time.Second)
	turns := 0
	for ; turns < 100; turns++ {
		if at := m.a.c.Deadline(); !at.Due(m.w.now) {
			break
		}
		m.a.turn(m.w.now)
	}
	require.Greater(t, turns, 2, "all in one turn")
	require.Equal(t, idle, m.a.c.Stats().Memory)
}

// Timers that were moved out are found so in several turns, too: that is as much
// work as to run them.
func TestManyMovedTimersAtOnce(t *testing.T) {
	const n = 3000
	m := newMany(t, n)
	m.w.pass(5 * time.Second)
	for _, c := range m.clients {
		_, _ = c.Write([]byte("text"))
	}
	m.w.run() // all is acknowledged: the retransmission timers are off, the pages' are a second away
	m.w.now = m.w.now.Add(500 * time.Millisecond)
	sent := m.a.c.Stats().FramesOut
	turns := 0
	for ; turns < 100; turns++ {
		if at := m.a.c.Deadline(); !at.Due(m.w.now) {
			break
		}
		m.a.turn(m.w.now)
	}
	require.Greater(t, turns, 2, "all in one turn")
	require.Less(t, turns, 100)
	require.Equal(t, sent, m.a.c.Stats().FramesOut)
}

// BenchmarkScattered is a message of 100 bytes from stream to stream, and its
// part of an acknowledgment, each time on another connection of many: what
// fetching a connection into the cache costs shows with the number.
func BenchmarkScattered(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := newMany(b, n, bareIP, intactLink)
			text, at := make([]byte, 100), uint32(1)
			receive := func(from, to *host) {
				for {
					n, off := from.eth.Send(m.w.now, m.buf)
					if n == 0 {
						return
					}
					to.eth.Receive(m.w.now, phy.Frame{Data: m.buf[:n], Offload: off})
				}
			}
			step := func() {
				at = at*1664525 + 1013904223
				i := int(uint64(at) * uint64(n) >> 32)
				m.w.now = m.w.now.Add(time.Millisecond) // some thousand have a page at a time
				_, _ = m.clients[i].Write(text)
				m.a.c.BeginTurn(m.w.now)
				receive(m.a, m.b)
				_, _ = m.servers[i].Read(m.sink[:1000])
				m.b.c.EndTurn(m.w.now)
				m.b.c.BeginTurn(m.w.now)
				receive(m.b, m.a)
				m.a.c.EndTurn(m.w.now)
			}
			for range 5 * n / 4 { // what the handshakes left behind
				step()
			}
			for b.Loop() {
				step()
			}
		})
	}
}
