package netsim_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// hosts returns two hosts on a link with 10 ms each way.
func hosts(t *testing.T) (s *netsim.Sim, a, b *netsim.Host) {
	t.Helper()
	path := netsim.Path{Delay: 10 * ms}
	return twoHosts(1, tcp.Config{}, path, path)
}

func TestFlowBothWays(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		s, a, b := hosts(t)
		done := 0
		f := s.MustFlow(netsim.FlowConfig{
			From: a, To: b, IPv6: v6, Start: 5 * ms, Client: netsim.App{Bytes: 300_000}, Server: netsim.App{Bytes: 500_000}, Series: 10 * ms,
			Done: func(*netsim.Flow) { done++ },
		})
		require.NoError(t, s.Settle(time.Hour))
		require.Equal(t, 1, done)
		require.EqualValues(t, 300_000, f.Server().Read())
		require.EqualValues(t, 500_000, f.Client().Read())
		require.EqualValues(t, 500_000, f.Server().Written())
		require.True(t, f.Client().EOF() && f.Server().EOF())
		for _, tr := range []*netsim.Transfer{f.Sent(), f.Returned()} {
			var sum int64
			for _, n := range tr.Series {
				sum += n
			}
			require.Equal(t, tr.Bytes, sum)
			require.GreaterOrEqual(t, tr.First.Sub(tr.Start), 30*ms, "a handshake and the way there")
			require.InDelta(t, float64(tr.Bytes)/tr.Last.Sub(tr.Start).Seconds(), tr.Goodput(), 1)
		}
		require.EqualValues(t, 300_000, f.Client().Info().BytesAcked)
		require.Zero(t, f.Failed())
	}
}

// TestSlowReader: the peer's window closes and opens, and nothing is lost.
func TestSlowReader(t *testing.T) {
	s, a, b := hosts(t)
	f := s.MustFlow(netsim.FlowConfig{
		From: a, To: b, Client: netsim.App{Bytes: 1 << 20},
		Server:    netsim.App{ReadChunk: 4096, ReadEvery: 100 * ms},
		ServerTCP: &tcp.Config{RecvBuffer: 16 << 10},
	})
	require.NoError(t, s.Settle(time.Hour))
	took := f.Sent().Last.Sub(f.Sent().Start)
	require.InDelta(t, 25.6, took.Seconds(), 0.2, "256 pieces, one every 100 ms")
}

func TestSlowWriter(t *testing.T) {
	s, a, b := hosts(t)
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 10_000, WriteChunk: 100, WriteEvery: 20 * ms}})
	require.NoError(t, s.Settle(time.Hour))
	require.InDelta(t, 2, f.Sent().Last.Sub(f.Sent().Start).Seconds(), 0.1)
}

func TestEndings(t *testing.T) {
	for _, tt := range []struct {
		name           string
		client, server netsim.App
		clientErr      error
		serverErr      error
	}{
		{"half", netsim.App{Bytes: 1000}, netsim.App{Bytes: 1000}, nil, nil},
		{"client closes", netsim.App{Bytes: 1000, End: netsim.CloseAll}, netsim.App{}, nil, nil},
		{"server closes", netsim.App{}, netsim.App{Bytes: 1000, End: netsim.CloseAll}, nil, nil},
		{"client aborts", netsim.App{Bytes: 1 << 20, End: netsim.Abort}, netsim.App{Bytes: 1 << 20}, nil, errno.ConnReset},
		{"client quits", netsim.App{Bytes: -1, Quit: time.Second, QuitBy: netsim.Abort}, netsim.App{}, nil, errno.ConnReset},
		{"server quits", netsim.App{Bytes: -1}, netsim.App{End: netsim.Stay, Quit: time.Second, QuitBy: netsim.Abort}, errno.ConnReset, nil},
		{"before it begins", netsim.App{Quit: 1}, netsim.App{}, nil, nil},
		{"half of a quitter", netsim.App{Bytes: -1, Quit: time.Second, QuitBy: netsim.HalfClose}, netsim.App{Bytes: 50}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, a, b := hosts(t)
			f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: tt.client, Server: tt.server})
			require.NoError(t, s.Settle(time.Hour))
			require.Equal(t, tt.clientErr, f.Client().Err())
			require.Equal(t, tt.serverErr, f.Server().Err())
			require.NoError(t, quiet(s))
		})
	}
}

func addrPort(h *netsim.Host, port uint16) netip.AddrPort { return netip.AddrPortFrom(h.Addr4(), port) }

func TestNobodyListens(t *testing.T) {
	s, a, b := hosts(t)
	_, err := a.DialTCP(core.DialOptions{Remote: addrPort(b, 7)})
	require.NoError(t, err)
	require.NoError(t, s.Run(time.Second))
	require.EqualValues(t, 1, b.Core().Stats().TCPResetsOut)
}

// TestNotDone: a flow whose peer is out of reach is not taken for one that is
// over, and what it fails with is told.
func TestNotDone(t *testing.T) {
	s, a, b := twoHosts(1, tcp.Config{SynRetries: 2}, netsim.Path{Loss: 1}, netsim.Path{})
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1}})
	require.ErrorIs(t, s.Settle(time.Second), netsim.ErrTime)
	require.ErrorIs(t, s.Settle(time.Hour), errno.TimedOut)
	require.Equal(t, errno.TimedOut, f.Failed())
	require.True(t, f.Done())
}

// TestWrongContent: a byte that is changed on the way, checksum and all, is found.
func TestWrongContent(t *testing.T) {
	s, a, b := hosts(t)
	s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 100_000}})
	once := true
	s.Observe(func(e *netsim.Event) {
		if e.Kind == netsim.Sent && len(e.Packet) == netsim.DefaultMTU && once {
			once = false
			h, seg, err := wire.ParseIPv4(e.Packet)
			require.NoError(t, err)
			seg[1000] ^= 1
			wire.SetChecksum(h.Src, h.Dst, h.Protocol, seg, wire.TCPChecksumOffset)
		}
	})
	require.ErrorContains(t, s.Settle(time.Hour), "wrong byte at offset 968")
}

// TestMissingContent: a stream that ends too early is found.
func TestMissingContent(t *testing.T) {
	s, a, b := hosts(t)
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: -1}})
	require.NoError(t, s.Run(time.Second))
	f.Client().Socket().CloseWrite()
	require.NoError(t, s.Run(time.Second))
	require.Positive(t, f.Sent().Bytes)
	require.Error(t, f.Client().Err(), "a write after the end")
}

// TestBottleneck: packets of many hosts go by one link, and by no other's.
func TestBottleneck(t *testing.T) {
	s := netsim.New(1)
	d, err := s.Dumbbell(netsim.Path{Rate: 10e6, Queue: 50}, netsim.Path{})
	require.NoError(t, err)
	var flows []*netsim.Flow
	for range 5 {
		a, b := s.MustHost(netsim.HostConfig{}), s.MustHost(netsim.HostConfig{})
		s.MustLink(a, d.Left, netsim.Path{Delay: ms}, netsim.Path{Delay: ms})
		s.MustLink(d.Right, b, netsim.Path{Delay: ms}, netsim.Path{Delay: ms})
		flows = append(flows, s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1 << 20}, IPv6: len(flows)%2 == 0}))
	}
	require.NoError(t, s.Settle(time.Hour))
	for _, f := range flows {
		require.EqualValues(t, 1<<20, f.Sent().Bytes)
	}
	require.Greater(t, d.There.Stats().Bytes, uint64(5<<20))
	require.Greater(t, s.Elapsed().Seconds(), 5*8*1.048576/10)
}

func TestRouterWithoutRoute(t *testing.T) {
	s := netsim.New(1)
	a, r := s.MustHost(netsim.HostConfig{}), s.Router("r")
	b := s.MustHost(netsim.HostConfig{})
	s.MustLink(a, r, netsim.Path{}, netsim.Path{})
	lost := 0
	s.Observe(func(e *netsim.Event) {
		if e.Kind == netsim.NoRoute {
			lost++
		}
	})
	s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1}, ClientTCP: &tcp.Config{SynRetries: 1}})
	require.ErrorIs(t, s.Settle(time.Hour), errno.TimedOut)
	require.Equal(t, 2, lost)

	// When the link comes, the way is learnt.
	s.MustLink(r, b, netsim.Path{}, netsim.Path{})
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1}})
	require.NoError(t, s.Run(time.Hour))
	require.NoError(t, f.Check())
	require.EqualValues(t, 1, f.Sent().Bytes)
}

// TestCapture reads a capture back: each packet is whole and stamped with its
// time.
func TestCapture(t *testing.T) {
	s, a, b := hosts(t)
	var atHost, onLink bytes.Buffer
	host, link := a.Capture(&atHost), s.Links()[0].Capture(&onLink)
	s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 200_000}})
	require.NoError(t, s.Settle(time.Hour))
	require.NoError(t, host.Flush())
	require.NoError(t, link.Flush())
	for _, buf := range []*bytes.Buffer{&atHost, &onLink} {
		f := buf.Bytes()
		require.Equal(t, uint32(0xa1b23c4d), binary.LittleEndian.Uint32(f))
		require.EqualValues(t, 101, binary.LittleEndian.Uint32(f[20:]))
		var last time.Duration
		packets := 0
		for f = f[24:]; len(f) > 0; packets++ {
			at := time.Duration(binary.LittleEndian.Uint32(f))*time.Second + time.Duration(binary.LittleEndian.Uint32(f[4:]))
			n := binary.LittleEndian.Uint32(f[8:])
			require.GreaterOrEqual(t, at, last)
			last = at
			_, _, err := wire.ParseIPv4(f[16 : 16+n])
			require.NoError(t, err)
			f = f[16+n:]
		}
		if buf == &onLink {
			require.EqualValues(t, s.Links()[0].Stats().Packets, packets)
		} else {
			require.EqualValues(t, s.Packets(), packets, "one host sees all")
		}
	}
}

// A brokenWriter fails.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestCaptureThatFails(t *testing.T) {
	s, a, b := hosts(t)
	c := a.Capture(brokenWriter{})
	s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 200_000}})
	require.NoError(t, s.Settle(time.Hour))
	require.ErrorIs(t, c.Flush(), io.ErrShortWrite)
}

// TestAudit: what an audit counts is what the link has lost, and a clean path has
// no retransmission.
func TestAudit(t *testing.T) {
	s, a, b := hosts(t)
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1 << 20}})
	clean := f.Audit()
	require.NoError(t, s.Settle(time.Hour))
	require.EqualValues(t, 1<<20, clean.Bytes)
	require.Zero(t, clean.Retransmits+clean.Gone+clean.Spurious)

	s, a, b = twoHosts(1, tcp.Config{}, netsim.Path{Delay: 10 * ms, Loss: 0.02, Corrupt: 0.01}, netsim.Path{Delay: 10 * ms})
	f = s.MustFlow(netsim.FlowConfig{From: a, To: b, IPv6: true, Client: netsim.App{Bytes: 4 << 20}})
	lossy := f.Audit()
	require.NoError(t, s.Settle(time.Hour))
	gone := s.Links()[0].Stats()
	require.InDelta(t, gone.Kinds[netsim.Lost]+gone.Kinds[netsim.Corrupted], lossy.Gone, 3, "SYN, FIN and ACK have no data")
	require.GreaterOrEqual(t, lossy.Retransmits, lossy.Gone)
	require.LessOrEqual(t, lossy.Spurious, lossy.Retransmits-lossy.Gone)
	require.Equal(t, f.Client().Info().Retransmits, lossy.Retransmits)
}

// TestAuditCountsNeedless: what is acknowledged into the void is sent again
// although all of it has arrived.
func TestAuditCountsNeedless(t *testing.T) {
	out := netsim.Path{Delay: 10 * ms, Outages: []netsim.Outage{{From: 15 * ms, To: 2 * time.Second}}}
	s, a, b := twoHosts(1, tcp.Config{}, netsim.Path{Delay: 10 * ms}, out)
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 1000}})
	audit := f.Audit()
	require.NoError(t, s.Settle(time.Hour))
	require.Positive(t, audit.Retransmits)
	require.Equal(t, audit.Retransmits, audit.Spurious)
	require.Zero(t, audit.Gone)
}

// TestRunUntil stops at the instant.
func TestRunUntil(t *testing.T) {
	s := netsim.New(1)
	var order []int
	s.After(ms, func() { order = append(order, 1) })
	s.After(ms, func() { order = append(order, 2); s.After(0, func() { order = append(order, 3) }) })
	s.After(2*ms, func() { order = append(order, 4) })
	require.NoError(t, s.RunUntil(time.Second, func() bool { return len(order) > 0 }))
	require.Equal(t, []int{1, 2, 3}, order)
	require.Equal(t, ms, s.Elapsed())
	err := s.RunUntil(ms/2, func() bool { return len(order) > 3 })
	require.True(t, errors.Is(err, netsim.ErrTime))
	require.NoError(t, s.Run(time.Second))
	require.Equal(t, []int{1, 2, 3, 4}, order)
	require.Equal(t, ms+ms/2+time.Second, s.Elapsed(), "a run that is not done uses its time up")
}

// TestLivelock: what goes on for ever at one instant is stopped.
func TestLivelock(t *testing.T) {
	s := netsim.New(1)
	var again func()
	again = func() { s.After(0, again) }
	s.After(0, again)
	require.ErrorContains(t, s.Run(time.Second), "livelock")
}

// TestSteadyState: a packet allocates nothing.
func TestSteadyState(t *testing.T) {
	path := netsim.Path{Delay: 10 * ms, Rate: 100e6, Queue: 2000}
	s, a, b := twoHosts(1, tcp.Config{RecvBuffer: 256 << 10, SendBuffer: 256 << 10}, path, path)
	s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: -1}})
	require.NoError(t, s.Run(10*time.Second))
	before := s.Packets()
	allocs := testing.AllocsPerRun(10, func() { require.NoError(t, s.Run(100*ms)) })
	packets := (s.Packets() - before) / 11
	require.Greater(t, packets, uint64(500))
	require.LessOrEqual(t, allocs, 5.0, "for %d packets", packets) // pages of streams, when the collector has taken them
}
