package link

import (
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// An Endpoint is an end of a link as a link endpoint of gVisor. Packets go to
// the link where they are written, without a queue or a goroutine between; the
// channel below has only what remains of an endpoint.
type Endpoint struct {
	*channel.Endpoint
	end *End
}

var _ stack.LinkEndpoint = (*Endpoint)(nil)

// NewEndpoint returns e as a link endpoint. Nothing else may receive from e.
func NewEndpoint(e *End) *Endpoint {
	ep := &Endpoint{Endpoint: channel.New(0, uint32(e.MTU()), ""), end: e}
	e.Receive(ep.arrive)
	return ep
}

func (ep *Endpoint) arrive(b []byte) {
	var proto tcpip.NetworkProtocolNumber
	switch header.IPVersion(b) {
	case header.IPv4Version:
		proto = header.IPv4ProtocolNumber
	case header.IPv6Version:
		proto = header.IPv6ProtocolNumber
	default:
		return
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	ep.InjectInbound(proto, pkt)
	pkt.DecRef()
}

// WritePackets implements [stack.LinkEndpoint]. What a link drops, its sender
// does not hear of.
func (ep *Endpoint) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for _, pkt := range pkts.AsSlice() {
		ep.end.Send(pkt.AsSlices()...)
	}
	return pkts.Len(), nil
}
