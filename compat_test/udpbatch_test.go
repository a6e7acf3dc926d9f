//go:build linux

package compat

import (
	"encoding/binary"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"smolnet/conn"
)

// A batchConn is a UDP socket as those see it who read and write in batches: our
// own, or the kernel's with x/net's help.
type batchConn interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

func batches(c any) batchConn {
	if k, ok := c.(*net.UDPConn); ok {
		return alike{ipv4.NewPacketConn(k)}
	}
	return alike{c.(batchConn)}
}

// An alike leaves out what x/net does for no reason and we do not: with an error it
// counts -1 messages, and its errors have neither the network's name nor the peer.
type alike struct{ c batchConn }

func (a alike) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	return plain(a.c.ReadBatch(ms, flags))
}

func (a alike) WriteBatch(ms []ipv4.Message, flags int) (int, error) {
	return plain(a.c.WriteBatch(ms, flags))
}

func plain(n int, err error) (int, error) {
	if op, ok := err.(*net.OpError); ok {
		err = &net.OpError{Op: op.Op, Net: "udp", Source: op.Source, Err: op.Err}
	}
	return max(n, 0), err
}

// A msgConn is a UDP socket with control messages.
type msgConn interface {
	ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error)
	WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
}

// joinReads turns UDP_GRO on.
func joinReads(t *testing.T, c any) {
	k, ok := c.(*net.UDPConn)
	if !ok {
		require.NoError(t, c.(*conn.UDP).SetReceiveSegments(true))
		return
	}
	raw, err := k.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		require.NoError(t, unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_GRO, 1))
	}))
}

// cutWrites sets UDP_SEGMENT.
func cutWrites(c any, size int) (err error) {
	k, ok := c.(*net.UDPConn)
	if !ok {
		return c.(*conn.UDP).SetSegmentSize(size)
	}
	raw, err := k.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }); e != nil {
		return e
	}
	return err
}

// segmentControl is a control message UDP_SEGMENT, made with the system's macros.
func segmentControl(size uint16) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	m := unix.Cmsghdr{Level: unix.SOL_UDP, Type: unix.UDP_SEGMENT}
	m.SetLen(unix.CmsgLen(2))
	if n, err := binary.Encode(b, binary.NativeEndian, m); err != nil || n != unix.CmsgLen(0) {
		panic("the header of control messages is not what it was")
	}
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], size)
	return b
}

// segmentsTold are the sizes that control messages UDP_GRO tell.
func segmentsTold(t *testing.T, oob []byte) (sizes []int) {
	all, err := unix.ParseSocketControlMessage(oob)
	require.NoError(t, err)
	for _, m := range all {
		require.EqualValues(t, unix.SOL_UDP, m.Header.Level)
		require.EqualValues(t, unix.UDP_GRO, m.Header.Type)
		sizes = append(sizes, int(binary.NativeEndian.Uint32(m.Data)))
	}
	return sizes
}

func batchOf(n, size int) []ipv4.Message {
	ms := make([]ipv4.Message, n)
	for i := range ms {
		ms[i].Buffers = [][]byte{make([]byte, size)}
	}
	return ms
}

// readAll reads a batch until n datagrams are there.
func readAll(t *testing.T, c batchConn, n, size int) (all []ipv4.Message) {
	for len(all) < n {
		ms := batchOf(n+1, size)
		k, err := c.ReadBatch(ms, 0)
		require.NoError(t, err)
		require.Positive(t, k)
		all = append(all, ms[:k]...)
	}
	return all
}

// pairOf are two sockets, of which the client is connected.
func pairOf(t *testing.T, e env) (server net.PacketConn, client net.Conn) {
	server, client = packets(t, e)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(5*time.Second)))
	return server, client
}

var batchBodies = []body{
	{"batch both ways", func(t *testing.T, e env, tr *transcript) {
		server, client := pairOf(t, e)
		s, c := batches(server), batches(client)
		n, err := c.WriteBatch([]ipv4.Message{
			{Buffers: [][]byte{[]byte("one")}}, {Buffers: [][]byte{[]byte("t"), []byte("wo")}}, {Buffers: [][]byte{{}}},
			{Buffers: [][]byte{[]byte("0123456789")}},
		}, 0)
		tr.note("write: %d %v", n, err)
		var back []ipv4.Message
		for _, m := range readAll(t, s, 4, 5) {
			a := m.Addr.(*net.UDPAddr)
			tr.note("%q %d %d %x %d %q %t", m.Buffers[0][:m.N], m.N, m.NN, m.Flags, len(a.IP), a.Zone, a.String() == client.LocalAddr().String())
			back = append(back, ipv4.Message{Buffers: [][]byte{m.Buffers[0][:m.N]}, Addr: m.Addr})
		}
		n, err = s.WriteBatch(back, 0)
		tr.note("back: %d %v", n, err)
		for _, m := range back {
			tr.note("%d %d", m.N, m.NN)
		}
		for _, m := range readAll(t, c, 4, 100) {
			tr.note("%q %d", m.Buffers[0][:m.N], m.Flags)
		}
	}},
	{"batch into several buffers", func(t *testing.T, e env, tr *transcript) {
		server, client := pairOf(t, e)
		_, err := client.Write([]byte("0123456789"))
		require.NoError(t, err)
		ms := []ipv4.Message{{Buffers: [][]byte{make([]byte, 3), make([]byte, 4), make([]byte, 2)}}}
		n, err := batches(server).ReadBatch(ms, 0)
		tr.note("%d %v %q %d %x", n, err, ms[0].Buffers, ms[0].N, ms[0].Flags)
	}},
	{"batch that fails in the middle", func(t *testing.T, e env, tr *transcript) {
		server, client := pairOf(t, e)
		c := batches(client)
		x := [][]byte{[]byte("x")}
		ms := []ipv4.Message{{Buffers: x}, {Buffers: x}, {Buffers: [][]byte{make([]byte, 65508)}}, {Buffers: x}}
		n, err := c.WriteBatch(ms, 0)
		tr.note("write: %d %v", n, err)
		n, err = c.WriteBatch(ms[2:], 0)
		tr.note("again: %d %t", n, err != nil && strings.Contains(err.Error(), syscall.EMSGSIZE.Error()))
		tr.note("read: %d", len(readAll(t, batches(server), 2, 9)))
	}},
	{"batch and deadline", func(t *testing.T, e env, tr *transcript) {
		server, _ := pairOf(t, e)
		require.NoError(t, server.SetReadDeadline(soon()))
		n, err := batches(server).ReadBatch(batchOf(2, 9), 0)
		tr.note("%d %v", n, err)
	}},
	{"batch and Close", func(t *testing.T, e env, tr *transcript) {
		server, _ := pairOf(t, e)
		time.AfterFunc(20*time.Millisecond, func() { server.Close() })
		n, err := batches(server).ReadBatch(batchOf(2, 9), 0)
		tr.note("%d %v", n, err)
	}},
	{"batch to a closed port", func(t *testing.T, e env, tr *transcript) {
		server, client := pairOf(t, e)
		require.NoError(t, server.Close())
		c := batches(client)
		n, err := c.WriteBatch([]ipv4.Message{{Buffers: [][]byte{[]byte("x")}}}, 0)
		tr.note("write: %d %v", n, err)
		n, err = c.ReadBatch(batchOf(2, 9), 0)
		tr.note("read: %d %v", n, err)
		require.NoError(t, client.SetReadDeadline(soon()))
		n, err = c.ReadBatch(batchOf(2, 9), 0)
		tr.note("read again: %d %v", n, err)
	}},
	{"batch without destination", func(t *testing.T, e env, tr *transcript) {
		server, _ := pairOf(t, e)
		n, err := batches(server).WriteBatch([]ipv4.Message{{Buffers: [][]byte{[]byte("x")}}}, 0)
		tr.note("%d %v", n, err)
	}},
	{"segments of a write", func(t *testing.T, e env, tr *transcript) {
		server, client := pairOf(t, e)
		data := []byte(strings.Repeat("0123456789", 25))
		for _, size := range []uint16{100, 125, 249, 250, 300, 0} {
			n, oobn, err := client.(msgConn).WriteMsgUDP(data, segmentControl(size), nil)
			tr.note("write: %d %d %v", n, oobn, err)
			for got := 0; got < len(data); {
				b := make([]byte, 300)
				n, _, err := server.ReadFrom(b)
				tr.note("read: %q %v", b[:n], err)
				require.Positive(t, n)
				got += n
			}
		}
		tr.note("too many: %v", func() error {
			_, _, err := client.(msgConn).WriteMsgUDP(make([]byte, 200), segmentControl(1), nil)
			return err
		}())
		tr.note("size: %v %v", cutWrites(client, -1) != nil, cutWrites(client, 65536) != nil)
		require.NoError(t, cutWrites(client, 200))
		n, err := client.Write(data)
		tr.note("write: %d %v", n, err)
		for _, m := range readAll(t, batches(server), 2, 300) {
			tr.note("%d", m.N)
		}
	}},
	{"segments of a read", func(t *testing.T, e env, tr *transcript) {
		server, client := pairOf(t, e)
		joinReads(t, server)
		data := []byte(strings.Repeat("0123456789", 25))
		b, oob := make([]byte, 2000), make([]byte, 100)
		for _, size := range []uint16{100, 125, 250, 0} {
			_, _, err := client.(msgConn).WriteMsgUDP(data, segmentControl(size), nil)
			require.NoError(t, err)
			time.Sleep(20 * time.Millisecond) // all of it is there
			n, oobn, flags, _, err := server.(msgConn).ReadMsgUDP(b, oob)
			tr.note("%q %d %x %v %v", b[:n], oobn, flags, err, segmentsTold(t, oob[:oobn]))
		}
	}},
}

// TestUDPBatchParity runs each body over x/net on the kernel and over smolnet and
// demands the same transcript.
func TestUDPBatchParity(t *testing.T) {
	list := envs(t)
	for _, b := range batchBodies {
		t.Run(strings.ReplaceAll(b.name, " ", "-"), func(t *testing.T) {
			var want string
			for i, e := range list {
				tr := new(transcript)
				t.Run(strings.ReplaceAll(e.name, " ", "-"), func(t *testing.T) { b.run(t, e, tr) })
				require.NotEmpty(t, tr.lines, "the body observed nothing")
				if i == 0 {
					want = tr.String()
				}
				require.Equal(t, want, tr.String(), e.name)
			}
		})
	}
}
