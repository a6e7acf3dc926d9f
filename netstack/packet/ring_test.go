package packet

import (
	"bytes"
	"encoding/binary"
	"math"
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
	remote, local := netip.AddrFrom4(a), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
	switch i % 4 {
	case 1:
		remote, local = netip.AddrFrom16(remote.As16()), netip.IPv6LinkLocalAllNodes()
	case 2:
		remote = netip.Addr{}
	case 3:
		local = netip.Addr{}
	}
	return Meta{
		Remote:    netip.AddrPortFrom(remote, uint16(i)),
		Local:     local,
		HopLimit:  byte(i),
		TOS:       byte(i >> 1),
		Err:       errno.Errno(i % 3),
		Segment:   uint16(i * 5),
		Interface: i,
	}
}

type entry struct {
	m    Meta
	b    []byte
	done int
}

// rest is what Peek says of e.
func (e *entry) rest() (Meta, []byte) {
	m, b := e.m, e.b[e.done:]
	if int(m.Segment) >= len(b) {
		m.Segment = 0
	}
	return m, b
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
		advance := func(n int) {
			e := &model[0]
			if e.done += n; e.done >= len(e.b) {
				model, bytes = model[1:], bytes-len(e.b)
			}
		}
		for i := range uint32(8000) {
			switch rnd.IntN(6) {
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
				require.Equal(t, fits, r.Push(meta(i), b))
				if fits {
					model, bytes = append(model, entry{m: meta(i), b: b}), bytes+n
				}
			case 3:
				m, b, ok := r.Peek()
				require.Equal(t, len(model) > 0, ok)
				if ok {
					wantM, wantB := model[0].rest()
					require.Equal(t, wantM, m)
					require.Equal(t, wantB, b)
					if rnd.IntN(2) == 0 {
						n := rnd.IntN(len(b) + 1)
						r.Advance(n)
						advance(n)
						break
					}
				}
				require.Equal(t, ok, r.Pop())
				if ok {
					advance(len(b))
				}
			case 4:
				b := make([]byte, 1500)
				n, size, m, ok := r.Read(b)
				require.Equal(t, len(model) > 0, ok)
				if ok {
					wantM, want := model[0].rest()
					if wantM.Segment > 0 {
						want, wantM.Segment = want[:wantM.Segment], 0
					}
					require.Equal(t, wantM, m)
					require.Equal(t, len(want), size)
					require.Equal(t, want[:min(size, len(b))], b[:n])
					advance(size)
				}
			case 5:
				if !r.find() {
					r.Trim()
					require.Zero(t, budget.InUse())
				}
			}
			require.Equal(t, len(model), r.Len())
			require.Equal(t, bytes, r.Bytes())
			require.Equal(t, len(model) <= l.Packets/2 && bytes <= l.Bytes/2, r.Roomy())
			if len(model) > 0 {
				require.NotZero(t, budget.InUse())
			}
		}
		require.Equal(t, len(model), r.Drain())
		require.Zero(t, budget.InUse())
		r.Push(meta(1), nil)
		r.Reset()
		require.Zero(t, budget.InUse())
	}
}

// TestShared has both sides at work at once, the consumer trimming whenever it
// has nothing to read.
func TestShared(t *testing.T) {
	const total = 20_000
	for _, l := range []Limits{{Packets: 50, Bytes: 20_000}, {Packets: 2}, {}} {
		r, budget := newRing(l, 0)
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
				r.Trim()
				runtime.Gosched()
				continue
			}
			e := entry{m: meta(i), b: datagram(i, int(i%1700))}
			wantM, want := e.rest()
			if wantM != m || !bytes.Equal(want, b) {
				t.Fatalf("datagram %d: %v, %d bytes", i, m, len(b))
			}
			r.Pop()
			i++
		}
		require.Zero(t, r.Len())
		require.Zero(t, r.Bytes())
		require.Eventually(t, func() bool { r.Drain(); return budget.InUse() == 0 }, time.Second, time.Microsecond)
	}
}

// TestSegments: what is pushed as one in segments is read as many.
func TestSegments(t *testing.T) {
	r, _ := newRing(Limits{}, 0)
	m := meta(4)
	m.Segment = 100
	all := datagram(1, 250)
	require.True(t, r.Push(m, all))
	require.True(t, r.Push(meta(8), nil))
	require.Equal(t, 2, r.Len())
	m.Segment = 0
	for from := 0; from < 250; from += 100 {
		b := make([]byte, 90)
		n, size, got, ok := r.Read(b)
		require.True(t, ok)
		require.Equal(t, min(100, 250-from), size)
		require.Equal(t, all[from:from+n], b[:n])
		require.Equal(t, m, got)
		if from < 200 {
			require.Equal(t, 250, r.Bytes(), "they are one")
		}
	}
	_, size, got, ok := r.Read(nil)
	require.True(t, ok)
	require.Zero(t, size)
	require.EqualValues(t, 8, got.Interface)
	require.False(t, r.Pop())
}

func TestEmptyDatagramIsADatagram(t *testing.T) {
	r, _ := newRing(Limits{}, 0)
	require.False(t, r.Pop())
	require.True(t, r.Push(meta(0), nil))
	require.Equal(t, 1, r.Len())
	n, size, m, ok := r.Read(nil)
	require.True(t, ok)
	require.Zero(t, n)
	require.Zero(t, size)
	require.Equal(t, meta(0), m)
	_, _, _, ok = r.Read(nil)
	require.False(t, ok)
}

func TestBounds(t *testing.T) {
	r, budget := newRing(Limits{Packets: 1 << 30, Bytes: -5}, 16*stream.PageSize)
	const others = 15*stream.PageSize - 3000 // the last page is not for datagrams
	require.True(t, budget.Reserve(others))
	require.Equal(t, Limits{Packets: MaxPackets, Bytes: DefaultBytes}, r.Limits())
	require.False(t, r.Fits(MaxDatagram+1))
	require.False(t, r.Push(meta(1), make([]byte, MaxDatagram+1)))
	require.False(t, r.Fits(-1))
	require.True(t, r.Fits(2001))
	require.False(t, r.Push(meta(1), make([]byte, 2001)), "budget")
	require.True(t, r.Push(meta(1), make([]byte, 1900)))
	require.EqualValues(t, others+2048+bufferOverhead, budget.InUse())
	require.EqualValues(t, 1, budget.Noted(stream.DropDatagrams))
	require.True(t, r.Push(meta(1), make([]byte, 40)), "there is room where the first one is")
	require.True(t, r.Push(meta(1), make([]byte, 400)), "in a small buffer, as there is no memory for a large one")
	require.False(t, r.Push(meta(1), make([]byte, 40)), "budget")
	r.SetMaxBytes(100)
	require.Equal(t, 3, r.Len())
	require.False(t, r.Fits(0))
	r.Reset()
	require.EqualValues(t, others, budget.InUse())
	require.True(t, r.Push(meta(0), make([]byte, 101)), "the first may be larger than the limit")
	require.False(t, r.Push(meta(1), make([]byte, 1)))
}

// TestDefaultLimits: how many datagrams there may be follows the bytes, unless it
// was said.
func TestDefaultLimits(t *testing.T) {
	r, _ := newRing(Limits{}, 0)
	require.Equal(t, Limits{Packets: 4096, Bytes: 256 << 10}, r.Limits())
	r.SetMaxBytes(4 << 20)
	require.Equal(t, Limits{Packets: 1 << 16, Bytes: 4 << 20}, r.Limits())
	r.SetMaxBytes(4096)
	require.Equal(t, Limits{Packets: 256, Bytes: 4096}, r.Limits())
	for _, n := range []int{MaxBytes, MaxBytes + 1, math.MaxInt} {
		r.SetMaxBytes(n)
		require.Equal(t, Limits{Packets: MaxBytes / bytesPerPacket, Bytes: MaxBytes}, r.Limits())
	}
	r, _ = newRing(Limits{Packets: 5}, 0)
	r.SetMaxBytes(1 << 20)
	require.Equal(t, Limits{Packets: 5, Bytes: 1 << 20}, r.Limits())
}

func TestPool(t *testing.T) {
	budget := stream.NewPool(0)
	p := NewPool(budget)
	for _, n := range []int{0, 1, 512, 513, 2048, 2049, 16384, 16385, MaxDatagram} {
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
