package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
)

func newRing(l Limits, budget int64) (*Ring, *stream.Pool) {
	b := stream.NewPool(budget)
	r := new(Ring)
	r.Init(NewPool(b), l)
	return r, b
}

// datagram returns n bytes that depend on i.
func datagram(i uint32, n int) []byte {
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(i) + byte(k*7)
	}
	return b
}

func meta(i uint32) Meta {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], i)
	return Meta{
		Remote:    netip.AddrPortFrom(netip.AddrFrom4(a), uint16(i)),
		Local:     netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
		HopLimit:  byte(i),
		TOS:       byte(i >> 1),
		Err:       errno.Errno(i % 3),
		Interface: i,
	}
}

type entry struct {
	m Meta
	b []byte
}

func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for _, l := range []Limits{{}, {Packets: 1}, {Packets: 7, Bytes: 5000}, {Packets: 1000, Bytes: 1}} {
		r, budget := newRing(l, 0)
		l = r.Limits()
		var model []entry
		bytes := 0
		for i := range uint32(5000) {
			switch rnd.IntN(5) {
			case 0, 1, 2:
				n := rnd.IntN(3000)
				switch rnd.IntN(10) {
				case 0:
					n = 0
				case 1:
					n = MaxDatagram
				}
				b := datagram(i, n)
				fits := len(model) < l.Packets && (len(model) == 0 || bytes+n <= l.Bytes)
				require.Equal(t, fits, r.Fits(n))
				cut := rnd.IntN(n + 1)
				require.Equal(t, fits, r.Push2(meta(i), b[:cut], b[cut:]))
				if fits {
					model, bytes = append(model, entry{meta(i), b}), bytes+n
				}
			case 3:
				m, b, ok := r.Peek()
				require.Equal(t, len(model) > 0, ok)
				if ok {
					require.Equal(t, model[0], entry{m, b})
				}
				require.Equal(t, ok, r.Pop())
				if ok {
					model, bytes = model[1:], bytes-len(b)
				}
			case 4:
				b := make([]byte, 1500)
				n, size, m, ok := r.Read(b)
				require.Equal(t, len(model) > 0, ok)
				if ok {
					require.Equal(t, model[0].m, m)
					require.Equal(t, len(model[0].b), size)
					require.Equal(t, model[0].b[:min(size, len(b))], b[:n])
					model, bytes = model[1:], bytes-size
				}
			}
			require.Equal(t, len(model), r.Len())
			require.Equal(t, bytes, r.Bytes())
			require.Equal(t, len(model) == 0, budget.InUse() == 0)
		}
		require.Equal(t, len(model), r.Drain())
		require.Zero(t, budget.InUse())
		r.Push(meta(1), nil)
		r.Reset()
		require.Zero(t, budget.InUse())
		require.Nil(t, r.slots)
	}
}

func TestShared(t *testing.T) {
	const total = 20_000
	r, budget := newRing(Limits{Packets: 50, Bytes: 20_000}, 0)
	go func() {
		for i := uint32(0); i < total; {
			if r.Push(meta(i), datagram(i, int(i%1700))) {
				i++
			} else {
				runtime.Gosched()
			}
		}
	}()
	for i := uint32(0); i < total; {
		m, b, ok := r.Peek()
		if !ok {
			runtime.Gosched()
			continue
		}
		require.Equal(t, meta(i), m)
		require.Equal(t, datagram(i, int(i%1700)), b)
		r.Pop()
		i++
	}
	require.Zero(t, r.Len())
	require.Zero(t, r.Bytes())
	require.Zero(t, budget.InUse())
}

func TestEmptyDatagramIsADatagram(t *testing.T) {
	r, _ := newRing(Limits{}, 0)
	require.False(t, r.Pop())
	require.True(t, r.Push(meta(1), nil))
	require.Equal(t, 1, r.Len())
	n, size, m, ok := r.Read(nil)
	require.True(t, ok)
	require.Zero(t, n)
	require.Zero(t, size)
	require.Equal(t, meta(1), m)
	_, _, _, ok = r.Read(nil)
	require.False(t, ok)
}

func TestBounds(t *testing.T) {
	r, budget := newRing(Limits{Packets: 1 << 30, Bytes: -5}, 3000)
	require.Equal(t, Limits{Packets: MaxPackets, Bytes: DefaultBytes}, r.Limits())
	require.False(t, r.Fits(MaxDatagram+1))
	require.False(t, r.Push(meta(1), make([]byte, MaxDatagram+1)))
	require.True(t, r.Fits(2049))
	require.False(t, r.Push(meta(1), make([]byte, 2049)), "budget")
	require.True(t, r.Push(meta(1), make([]byte, 2048)))
	require.EqualValues(t, 2048+bufferOverhead, budget.InUse())
	require.True(t, r.Push(meta(1), nil))
	require.False(t, r.Push(meta(1), nil), "budget")
	r.SetMaxBytes(100)
	require.Equal(t, 2, r.Len())
	require.False(t, r.Fits(0))
	r.Reset()
	require.Zero(t, budget.InUse())
	require.True(t, r.Push(meta(1), make([]byte, 101)), "the first may be larger than the limit")
	require.False(t, r.Push(meta(1), make([]byte, 1)))
}

func TestPool(t *testing.T) {
	budget := stream.NewPool(0)
	p := NewPool(budget)
	for _, n := range []int{0, 1, 512, 513, 2048, 2049, 9216, 9217, MaxDatagram} {
		b := p.Get(n)
		require.Len(t, b.Bytes(), n)
		require.GreaterOrEqual(t, b.Size(), n)
		require.EqualValues(t, b.Size(), budget.InUse())
		p.Put(b)
		require.Zero(t, budget.InUse())
	}
	require.Nil(t, p.Get(-1))
	require.Nil(t, p.Get(MaxDatagram+1))
	p.Put(nil)
	require.Zero(t, budget.InUse())
	require.LessOrEqual(t, unsafe.Sizeof(Buffer{}), uintptr(bufferOverhead))
	t.Logf("Ring %d bytes, Meta %d, Buffer %d", unsafe.Sizeof(Ring{}), unsafe.Sizeof(Meta{}), unsafe.Sizeof(Buffer{}))
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("counted without the race detector only")
		return
	}
	r, _ := newRing(Limits{}, 0)
	b := make([]byte, 1400)
	run := func() {
		r.Push(meta(1), b)
		r.Push(meta(2), b[:10])
		r.Read(b)
		r.Pop()
	}
	run()
	require.Zero(t, testing.AllocsPerRun(1000, run))
}

func BenchmarkPushRead(b *testing.B) {
	r, _ := newRing(Limits{}, 0)
	buf := make([]byte, 1400)
	m := meta(1)
	for b.Loop() {
		r.Push(m, buf)
		r.Read(buf)
	}
}
