package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// More than a page is lost at the head of a burst, with a budget that the rest of the
// burst would fill: the text that fills the gap must always find room.
func TestGapCannotBlockItself(t *testing.T) {
	const budget = 8 * stream.PageSize
	for _, others := range []int64{0, 4 * stream.PageSize} { // in use elsewhere, for ever
		h := newHarness(t)
		h.pool = stream.NewPool(budget)
		h.cfg.RecvBuffer = 2 * budget
		h.peer.HasWindowScale = true
		require.True(t, h.pool.Reserve(others))
		h.to(tcp.StateEstablished)
		data := pattern(2 * budget / 3)
		send := func(at int) {
			n := min(1000, len(data)-at)
			h.in(TCP{Seq: uint32(1 + at), Ack: 1, Flags: ACK}, data[at:at+n])
			h.all()
		}
		for at := 10_000; at < len(data); at += 1000 {
			send(at)
		}
		got := ""
		for round := 0; len(got) < len(data); round++ { // everything comes again from where it is missing
			require.Less(t, round, 1000, "no progress")
			send(len(got))
			got += h.read(budget)
		}
		require.Equal(t, data, got)
		h.pool.Unreserve(others)
		h.abort()
		h.all()
		h.c.In.Reset()
		require.Zero(t, h.pool.InUse())
	}
}

// When other connections leave nothing, the text that fills a gap takes the
// room of what waits behind it.
func TestGapMakesRoomForText(t *testing.T) {
	h := newHarness(t)
	h.pool = stream.NewPool(8 * stream.PageSize)
	h.to(tcp.StateEstablished)
	h.in(TCP{Seq: 20_001, Ack: 1, Flags: ACK}, "later")
	h.all()
	require.True(t, h.pool.Reserve(h.pool.Limit()-h.pool.InUse()))
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "first")
	h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
	h.wantRead("first")
	h.in(TCP{Seq: 6, Ack: 1, Flags: ACK}, "second")
	h.want(TCP{Seq: 1, Ack: 12, Flags: ACK})
	h.wantRead("second")
}

// Peers that send crumbs ahead of a gap, each of which takes a page, and never
// fill it: all others read and write on, and in time the crumbs go.
func TestCrumbsAheadCannotStopOthers(t *testing.T) {
	pool := stream.NewPool(128 * stream.PageSize)
	open := func() *harness {
		h := newHarness(t)
		h.pool = pool
		h.cfg.RecvBuffer = 512 << 10
		h.peer.HasWindowScale = true
		h.to(tcp.StateEstablished)
		return h
	}
	innocent := open()
	var hostile []*harness
	refused := 0
	for range 20 {
		h := open()
		hostile = append(hostile, h)
		for at := uint32(1); at < 62; at++ {
			if _, d := h.in(TCP{Seq: 1 + at*stream.PageSize, Ack: 1, Flags: ACK}, "x"); d == wire.DropNoMemory {
				refused++
			}
			h.all()
		}
	}
	require.Positive(t, refused)
	require.False(t, pool.At(stream.RefuseOpens), "new connections are still welcome")
	data := pattern(1000)
	for i := range 200 {
		innocent.in(TCP{Seq: uint32(1 + 1000*i), Ack: 1, Flags: ACK}, data)
		innocent.all()
		innocent.wantRead(data)
	}
	innocent.write(data)
	for _, h := range hostile {
		h.advance(3 * time.Second)
		h.all()
	}
	require.False(t, pool.At(stream.ShrinkWindows))
}

// What arrives behind a gap is thrown away after CloseRead, and with the
// connection.
func TestGapsGiveBackPages(t *testing.T) {
	for name, end := range map[string]func(h *harness){
		"CloseRead": func(h *harness) { h.closeRead() },
		"reset":     func(h *harness) { h.in(TCP{Seq: 1, Flags: RST}) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.to(tcp.StateEstablished)
			h.in(TCP{Seq: 20_001, Ack: 1, Flags: ACK}, "later")
			require.GreaterOrEqual(t, h.pool.InUse(), int64(stream.PageSize))
			end(h)
			require.Less(t, h.pool.InUse(), int64(stream.PageSize))
		})
	}
}

// Without memory the last record takes in what is sent next, and is taken for sent then.
// That is no round trip: of what it held before, the acknowledgment comes sooner.
func TestNoMeasureWithoutMemory(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.pool = stream.NewPool(8 * stream.PageSize)
		h.sacking().to(tcp.StateEstablished)
		require.True(t, h.pool.Reserve(h.pool.Limit()-4*stream.PageSize))
		const flights = 5
		for i := range flights {
			h.write(pattern2(i*ethMSS, ethMSS))
			require.Len(t, h.all(), 1)
			h.advance(roundTrip / 10)
		}
		require.NotZero(t, h.pool.Noted(stream.ShrinkWindows))
		h.advance(roundTrip / 2)
		for i := range flights {
			h.sack(i + 1)
			h.advance(roundTrip / 10)
		}
		require.Equal(t, roundTrip, h.c.Info().MinRTT)
	})
}
