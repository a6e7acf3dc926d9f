package conn_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"

	"smolnet/conn"
	"smolnet/netstack"
	"smolnet/phy"
)

// messages returns messages with a buffer each.
func messages(n, size int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, size)}
	}
	return ms
}

// controlLen is how long a control message with two or four bytes of data is.
const controlLen = 2*strconv.IntSize/8 + 8

// control returns a control message with 16 bits of data.
func control(level, kind int, data uint16) []byte {
	word := strconv.IntSize / 8
	b := make([]byte, controlLen)
	if word == 8 {
		binary.NativeEndian.PutUint64(b, uint64(word+8+2))
	} else {
		binary.NativeEndian.PutUint32(b, uint32(word+8+2))
	}
	binary.NativeEndian.PutUint32(b[word:], uint32(level))
	binary.NativeEndian.PutUint32(b[word+4:], uint32(kind))
	binary.NativeEndian.PutUint16(b[word+8:], data)
	return b
}

func TestUDPBatch(t *testing.T) {
	for _, network := range []string{"udp", "udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := connect(t, phy.PipeConfig{})
				at := addrB
				if network == "udp6" {
					at = addrB6
				}
				s := listenUDP(t, l.b, network, netip.Addr{})
				c := listenUDP(t, l.a, network, netip.Addr{})
				to := &net.UDPAddr{IP: at.AsSlice(), Port: int(addrPort(s).Port())}
				ws := []ipv4.Message{
					{Buffers: [][]byte{[]byte("one")}, Addr: to},
					{Buffers: [][]byte{[]byte("tw"), nil, []byte("o")}, Addr: to},
					{Addr: to},
					{Buffers: [][]byte{[]byte("0123456789")}, Addr: to},
				}
				n, err := c.WriteBatch(ws, 0)
				require.NoError(t, err)
				require.Equal(t, 4, n)
				require.Equal(t, []int{3, 3, 0, 10}, []int{ws[0].N, ws[1].N, ws[2].N, ws[3].N})
				synctest.Wait()

				rs := messages(6, 4)
				rs[3].Buffers = [][]byte{make([]byte, 2), {}, make([]byte, 5)}
				n, err = s.ReadBatch(rs, 0)
				require.NoError(t, err)
				require.Equal(t, 4, n)
				require.Equal(t, "one", string(rs[0].Buffers[0][:rs[0].N]))
				require.Equal(t, "two", string(rs[1].Buffers[0][:rs[1].N]))
				require.Zero(t, rs[2].N)
				require.Equal(t, "0123456", string(append(rs[3].Buffers[0], rs[3].Buffers[2]...)))
				require.Equal(t, 7, rs[3].N)
				require.Equal(t, []int{0, 0, 0, 0x20}, []int{rs[0].Flags, rs[1].Flags, rs[2].Flags, rs[3].Flags})
				// The form of addresses is that of ReadFrom.
				_, err = c.WriteTo([]byte("x"), to)
				require.NoError(t, err)
				_, from, err := s.ReadFrom(make([]byte, 1))
				require.NoError(t, err)
				for _, m := range rs[:4] {
					require.Equal(t, from, m.Addr)
					require.Zero(t, m.NN)
				}
				// Answers to where they came from.
				n, err = s.WriteBatch([]ipv4.Message{{Buffers: [][]byte{[]byte("back")}, Addr: rs[0].Addr}}, 0)
				require.NoError(t, err)
				require.Equal(t, 1, n)
				n, _, err = c.ReadFrom(make([]byte, 9))
				require.NoError(t, err)
				require.Equal(t, 4, n)
			})
		})
	}
}

// TestUDPBatchKeepsAddresses: an address that was handed out is never changed,
// and stays where it is as long as it is right.
func TestUDPBatchKeepsAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.b, "udp", addrB)
		one, two := dialUDP(t, l.a, addrPort(s)), dialUDP(t, l.a, addrPort(s))
		rs := messages(1, 9)
		read := func(from *conn.UDP) net.Addr {
			_, err := from.Write([]byte("x"))
			require.NoError(t, err)
			_, err = s.ReadBatch(rs, 0)
			require.NoError(t, err)
			require.Equal(t, from.LocalAddr().String(), rs[0].Addr.String())
			return rs[0].Addr
		}
		first := read(one)
		require.Same(t, first, read(one))
		second := read(two)
		require.NotSame(t, first, second)
		require.Equal(t, one.LocalAddr().String(), first.String())
		second.(*net.UDPAddr).Port++ // it is the caller's
		read(two)
		rs[0].Addr = &net.IPAddr{}
		read(two)
		rs[0].Addr = (*net.UDPAddr)(nil)
		read(two)
	})
}

func TestUDPBatchErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.b, "udp", addrB)
		c := dialUDP(t, l.a, addrPort(s))
		to := net.UDPAddrFromAddrPort(addrPort(s))
		x := [][]byte{[]byte("x")}

		for _, f := range []func([]ipv4.Message, int) (int, error){c.ReadBatch, c.WriteBatch} {
			n, err := f(nil, 0)
			require.NoError(t, err)
			require.Zero(t, n)
		}
		_, err := c.ReadBatch(messages(1, 1), 2) // MSG_PEEK
		requireOpError(t, err, "read", syscall.EINVAL)
		_, err = c.WriteBatch(messages(1, 1), 2)
		requireOpError(t, err, "write", syscall.EINVAL)
		_, err = c.ReadBatch(messages(1, 1), 0x40)
		requireOpError(t, err, "read", syscall.EAGAIN)
		_, err = c.WriteBatch([]ipv4.Message{{Buffers: x, Addr: to}}, 0)
		requireOpError(t, err, "write", net.ErrWriteToConnected)
		_, err = s.WriteBatch([]ipv4.Message{{Buffers: x}}, 0)
		requireOpError(t, err, "write", syscall.EDESTADDRREQ)
		_, err = s.WriteBatch([]ipv4.Message{{Buffers: x, Addr: &net.TCPAddr{}}}, 0)
		requireOpError(t, err, "write", syscall.EINVAL)
		_, err = c.WriteBatch([]ipv4.Message{{Buffers: x, OOB: []byte{1}}}, 0)
		requireOpError(t, err, "write", syscall.EINVAL)
		_, err = c.WriteBatch([]ipv4.Message{{Buffers: x, OOB: control(0, 1, 7)}}, 0)
		requireOpError(t, err, "write", syscall.EINVAL)

		// What is before the one that fails goes out; the error is the next call's.
		ms := []ipv4.Message{{Buffers: x}, {Buffers: x}, {Buffers: [][]byte{make([]byte, 1000), make([]byte, 1000)}}, {Buffers: x}}
		n, err := c.WriteBatch(ms, 0)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		_, err = c.WriteBatch(ms[2:], 0)
		requireOpError(t, err, "write", syscall.EMSGSIZE)
		synctest.Wait()
		n, err = s.ReadBatch(messages(4, 1), 0x40|0x10000)
		require.NoError(t, err)
		require.Equal(t, 2, n)

		// Deadlines.
		require.NoError(t, s.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = s.ReadBatch(messages(4, 1), 0)
		requireTimeout(t, err)
		_, err = c.Write(x[0])
		require.NoError(t, err)
		synctest.Wait()
		_, err = s.ReadBatch(messages(4, 1), 0) // also if there is something
		requireTimeout(t, err)
		require.NoError(t, s.SetReadDeadline(time.Time{}))
		require.NoError(t, c.SetWriteDeadline(time.Now()))
		_, err = c.WriteBatch(ms, 0)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetWriteDeadline(time.Time{}))

		// A connected socket hears that nobody listens, once.
		require.NoError(t, s.Close())
		_, err = c.WriteBatch(ms[:1], 0)
		require.NoError(t, err)
		_, err = c.ReadBatch(messages(4, 1), 0)
		requireOpError(t, err, "read", syscall.ECONNREFUSED)
		_, err = c.ReadBatch(messages(4, 1), 0x40)
		requireOpError(t, err, "read", syscall.EAGAIN)

		_, err = s.ReadBatch(messages(1, 1), 0)
		requireOpError(t, err, "read", net.ErrClosed)
		_, err = s.WriteBatch(nil, 0)
		requireOpError(t, err, "write", net.ErrClosed)
		requireOpError(t, s.SetSegmentSize(1), "set", net.ErrClosed)
		requireOpError(t, s.SetReceiveSegments(true), "set", net.ErrClosed)
		var none *conn.UDP
		_, err = none.ReadBatch(nil, 0)
		require.ErrorIs(t, err, syscall.EINVAL)
		_, err = none.WriteBatch(nil, 0)
		require.ErrorIs(t, err, syscall.EINVAL)
	})
}

// TestUDPBatchKeepsErrors: an error that arrives in the middle of a batch is not
// lost with it, but what the next call hears.
func TestUDPBatchKeepsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.b, "udp", addrB)
		c := dialUDP(t, l.a, addrPort(s))
		require.NoError(t, s.Close())
		require.NoError(t, c.SetWriteBuffer(4<<20))
		ms := messages(1000, 100)
		rounds := 200
		if raceEnabled {
			rounds = 20 // it makes them slow
		}
		for range rounds {
			_, _ = c.Write(nil) // the answer comes while the batch is written
			n, err := c.WriteBatch(ms, 0)
			if err == nil {
				require.Equal(t, len(ms), n)
			}
			synctest.Wait() // the queue is empty again
		}
	})
}

// TestUDPBatchFullQueue: a batch ends where the queue is full, and only the first
// message waits for room.
func TestUDPBatchFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y, err := phy.Pipe(phy.PipeConfig{Queue: 8})
		require.NoError(t, err)
		st := newStack(t, x, []netip.Addr{addrA})
		defer y.Close()
		c := listenUDP(t, st, "udp4", netip.Addr{})
		require.NoError(t, c.SetWriteBuffer(20_000))
		ms := messages(100, 1000)
		for i := range ms {
			// Nobody is asked who a broadcast is for.
			ms[i].Addr = &net.UDPAddr{IP: net.IPv4bcast, Port: 9}
		}
		total := 0
		for {
			n, err := c.WriteBatch(ms, 0x40)
			if err != nil {
				requireOpError(t, err, "write", syscall.EAGAIN)
				break
			}
			require.Less(t, n, len(ms))
			total += n
			synctest.Wait()
		}
		require.GreaterOrEqual(t, total, 20)
		done := make(chan int)
		go func() {
			n, err := c.WriteBatch(ms, 0)
			if err != nil {
				t.Error(err)
			}
			done <- n
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("there is no room")
		default:
		}
		for range 16 {
			_, err := y.Receive()
			require.NoError(t, err)
			synctest.Wait()
		}
		require.Positive(t, <-done)
		// Close ends what waits.
		go func() {
			var err error
			for err == nil {
				_, err = c.WriteBatch(ms, 0)
			}
			requireOpError(t, err, "write", net.ErrClosed)
			close(done)
		}()
		synctest.Wait()
		require.NoError(t, c.Close())
		<-done
	})
}

func TestUDPBatchCloseUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.a, "udp", netip.Addr{})
		errs := make(chan error, 2)
		for range cap(errs) {
			go func() {
				_, err := s.ReadBatch(messages(3, 1), 0)
				errs <- err
			}()
		}
		synctest.Wait()
		require.NoError(t, s.Close())
		for range cap(errs) {
			requireOpError(t, <-errs, "read", net.ErrClosed)
		}
	})
}

// TestUDPSegments: writes are cut, reads joined, whether the link has super-frames
// or not.
func TestUDPSegments(t *testing.T) {
	for name, cfg := range map[string]phy.PipeConfig{
		"frames": {}, "super-frames": {TxChecksum: true, MaxSuperFrame: 65535},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := connect(t, cfg)
				s := listenUDP(t, l.b, "udp", addrB)
				c := dialUDP(t, l.a, addrPort(s))
				data := bytes.Repeat([]byte("0123456789"), 25)
				b, oob := make([]byte, 2000), make([]byte, 24)
				_, err := c.Write(nil) // asks for the neighbour
				require.NoError(t, err)
				_, err = s.Read(b)
				require.NoError(t, err)

				read := func(want ...int) {
					t.Helper()
					for at := 0; len(want) > 0; want = want[1:] {
						n, err := s.Read(b)
						require.NoError(t, err)
						require.Equal(t, data[at:at+want[0]], b[:n])
						at += n
					}
					require.NoError(t, s.SetReadDeadline(time.Now().Add(time.Second)))
					_, err := s.Read(b)
					requireTimeout(t, err)
					require.NoError(t, s.SetReadDeadline(time.Time{}))
				}
				n, oobn, err := c.WriteMsgUDP(data, control(conn.SolUDP, conn.UDPSegment, 100), nil)
				require.NoError(t, err)
				require.Equal(t, []int{250, controlLen}, []int{n, oobn})
				read(100, 100, 50)
				require.NoError(t, c.SetSegmentSize(120))
				n, err = c.Write(data)
				require.NoError(t, err)
				require.Equal(t, 250, n)
				read(120, 120, 10)
				_, _, err = c.WriteMsgUDP(data, control(conn.SolUDP, conn.UDPSegment, 0), nil)
				require.NoError(t, err)
				read(250)

				require.NoError(t, s.SetReceiveSegments(true))
				ms := []ipv4.Message{{Buffers: [][]byte{data}}, {Buffers: [][]byte{data}, OOB: control(conn.SolUDP, conn.UDPSegment, 60)}}
				for range 2 {
					n, err = c.WriteBatch(ms, 0)
					require.NoError(t, err)
					require.Equal(t, 2, n)
				}
				synctest.Wait()
				rs := messages(9, 2000)
				for i := range 3 {
					rs[i].OOB = make([]byte, 24)
				}
				n, err = s.ReadBatch(rs, 0)
				require.NoError(t, err)
				require.Equal(t, 8, n) // three joined and five of 60 without room to tell
				for i, size := range []int{120, 60, 120} {
					require.Equal(t, data, rs[i].Buffers[0][:rs[i].N])
					require.Equal(t, controlLen, rs[i].NN)
					requireJoined(t, size, rs[i].OOB)
				}
				require.Equal(t, []int{60, 10}, []int{rs[3].N, rs[7].N})

				_, err = c.Write(data)
				require.NoError(t, err)
				synctest.Wait()
				n, oobn, flags, from, err := s.ReadMsgUDP(b, oob)
				require.NoError(t, err)
				require.Equal(t, []int{250, controlLen, 0}, []int{n, oobn, flags})
				require.Equal(t, c.LocalAddr().String(), from.String())
				requireJoined(t, 120, oob)

				for size, want := range map[int]syscall.Errno{-1: syscall.EINVAL, 65536: syscall.EINVAL} {
					requireOpError(t, c.SetSegmentSize(size), "set", want)
				}
				_, _, err = c.WriteMsgUDP(make([]byte, 2000), control(conn.SolUDP, conn.UDPSegment, 1500), nil)
				requireOpError(t, err, "write", syscall.EMSGSIZE)
				_, _, err = c.WriteMsgUDP(data, control(conn.SolUDP, conn.UDPSegment, 1), nil)
				requireOpError(t, err, "write", syscall.EINVAL)
			})
		})
	}
}

// requireJoined checks a control message about a size of segments.
func requireJoined(t *testing.T, size int, oob []byte) {
	t.Helper()
	if strconv.IntSize == 64 {
		require.Equal(t, 20, int(binary.NativeEndian.Uint64(oob)))
		require.Equal(t, conn.SolUDP, int(binary.NativeEndian.Uint32(oob[8:])))
		require.Equal(t, conn.UDPGRO, int(binary.NativeEndian.Uint32(oob[12:])))
		require.Equal(t, size, int(binary.NativeEndian.Uint32(oob[16:])))
	}
}

// TestUDPBatchNoAllocations: batches and segments cost no memory.
func TestUDPBatchNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets on purpose")
	}
	l := connect(t, phy.PipeConfig{})
	s := listenUDP(t, l.b, "udp", addrB)
	c := listenUDP(t, l.a, "udp", addrA)
	require.NoError(t, s.SetReceiveSegments(true))
	ws, rs := messages(8, 100), messages(8, 3000)
	for i := range ws {
		ws[i].Addr = net.UDPAddrFromAddrPort(addrPort(s))
		rs[i].OOB = make([]byte, 24)
	}
	ws[7].OOB = control(conn.SolUDP, conn.UDPSegment, 30)
	f := func() {
		for n := 0; n < len(ws); {
			k, err := c.WriteBatch(ws[n:], 0)
			if err != nil {
				t.Error(err)
			}
			n += k
		}
		for n := 0; n < 800; {
			k, err := s.ReadBatch(rs, 0)
			if err != nil {
				t.Error(err)
			}
			for _, m := range rs[:k] {
				n += m.N
			}
		}
	}
	// Every message has met the sender.
	for i := range rs {
		rs[i].Addr = net.UDPAddrFromAddrPort(addrPort(c))
	}
	_, err := c.WriteTo([]byte("x"), ws[0].Addr) // asks for the neighbour
	require.NoError(t, err)
	_, err = s.Read(make([]byte, 1))
	require.NoError(t, err)
	f()
	require.Zero(t, testing.AllocsPerRun(100, f))
}

// TestUDPBatchShared has several goroutines on one socket: for the race detector.
func TestUDPBatchShared(t *testing.T) {
	l := connect(t, phy.PipeConfig{}, func(c *netstack.Config) { c.UDP.RecvBuffer = 4 << 20 })
	s := listenUDP(t, l.b, "udp", addrB)
	c := dialUDP(t, l.a, addrPort(s))
	require.NoError(t, s.SetReceiveSegments(true))
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = s.Read(make([]byte, 1))
	require.NoError(t, err)
	const writers, batches, size = 2, 100, 100
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for left := batches * 8; left > 0; {
				n, err := c.WriteBatch(messages(min(8, left), size), 0)
				if err != nil {
					t.Error(err)
					return
				}
				left -= n
			}
		})
	}
	got := make(chan int)
	for range 2 {
		go func() {
			rs := messages(16, 1000)
			for i := range rs {
				rs[i].OOB = make([]byte, 24*(i%2))
			}
			for {
				n, err := s.ReadBatch(rs, 0)
				if err != nil {
					return
				}
				bytes := 0
				for _, m := range rs[:n] {
					bytes += m.N
				}
				got <- bytes
			}
		}()
	}
	for total := 0; total < writers*batches*8*size; {
		total += <-got
	}
	wg.Wait()
	require.NoError(t, s.Close())
}
