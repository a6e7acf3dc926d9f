package tcp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// A wirePair is two open connections with nothing but memory between them.
type wirePair struct {
	now  clock.Time
	a, b tcp.Conn
	buf  []byte
	h    TCP
	segs int
}

func newWirePair(t testing.TB, cfg *tcp.Config, room int) *wirePair {
	p := &wirePair{now: epoch, buf: make([]byte, room)}
	id := newHarness(nil).id
	pool := stream.NewPool(0)
	p.a.Init(id, cfg, pool)
	p.b.Init(tcp.ID{Local: id.Remote, Remote: id.Local}, cfg, pool)
	p.a.Connect(p.now, 0xffff_0000, ethMTU)
	w, ok := p.a.Send(p.now, p.buf)
	require.True(t, ok)
	_, err := wire.ParseTCP(p.buf[:w.Len], &p.h)
	require.NoError(t, err)
	p.b.Accept(p.now, 77, ethMTU, &p.h)
	p.settle()
	require.Equal(t, tcp.StateEstablished, p.a.State())
	require.Equal(t, tcp.StateEstablished, p.b.State())
	return p
}

// move passes on what from has to say.
func (p *wirePair) move(from, to *tcp.Conn) (any bool) {
	for {
		w, ok := from.Send(p.now, p.buf)
		if !ok {
			return any
		}
		payload, err := wire.ParseTCP(p.buf[:w.Len], &p.h)
		if err != nil {
			panic(err)
		}
		to.Receive(p.now, &p.h, payload)
		p.segs++
		any = true
	}
}

func (p *wirePair) settle() {
	for p.move(&p.a, &p.b) || p.move(&p.b, &p.a) {
	}
}
