package core

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"

	"smolnet/netstack/wire"
)

// idCounters is the number of counters that IPv4 identifications come from.
const idCounters = 1024

// An ipIDs makes the identifications of IPv4 packets that may be fragmented.
//
// RFC 6864 4.2: they must not repeat within one (source, destination, protocol)
// for the life of a packet. RFC 7739 5.3 has why they must not be guessed from
// those of other destinations either: each tuple is hashed, with a secret, to
// one of many counters.
type ipIDs struct {
	key      [2]uint64
	counters [idCounters]uint16
}

func (g *ipIDs) init(r *rand.Rand) {
	g.key = [2]uint64{r.Uint64() | 1, r.Uint64() | 1}
	for i := range g.counters {
		g.counters[i] = uint16(r.Uint32())
	}
}

func (g *ipIDs) next(src, dst netip.Addr, proto wire.Protocol) uint16 {
	s, d := src.As4(), dst.As4()
	x := uint64(binary.BigEndian.Uint32(s[:]))<<32 | uint64(binary.BigEndian.Uint32(d[:]))
	hi, lo := bits.Mul64(x^g.key[0], g.key[1]+uint64(proto)<<1)
	hi, lo = bits.Mul64(hi^lo^g.key[1], g.key[0])
	n := &g.counters[(hi^lo)%idCounters]
	*n++
	return *n
}
