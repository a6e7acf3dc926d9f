package env

import (
	"testing"

	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// TestLost: what gVisor's queue drops is counted, what a closed one refuses is not.
func TestLost(t *testing.T) {
	e := newGVisorLink(Link{MTU: 1500})
	write := func() {
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData([]byte{1})})
		var l stack.PacketBufferList
		l.PushBack(pkt)
		e.WritePackets(l)
		l.Reset()
	}
	for range gvisorQueue + 3 {
		write()
	}
	require.EqualValues(t, 3, e.lost.Load())
	e.Close()
	write()
	require.EqualValues(t, 3, e.lost.Load())
	require.Zero(t, Bare(GVisor).Lost())
	p := Bare(GVisor)
	p.lost = e.lost.Load
	require.EqualValues(t, 3, p.Lost())
}
