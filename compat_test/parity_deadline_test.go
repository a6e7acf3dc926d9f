package compat

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var past = time.Unix(1, 0)

// soon is a deadline that is certain to expire while the call waits.
func soon() time.Time { return time.Now().Add(20 * time.Millisecond) }

var deadlineBodies = []body{
	{"read with a past deadline", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		writeAll(t, s, "data")
		readReady(t, c) // there is data: the deadline still goes first
		tr.note("set: %v", c.SetReadDeadline(past))
		n, err := c.Read(make([]byte, 4))
		tr.note("read: %d %v", n, err)
		tr.note("clear: %v", c.SetReadDeadline(time.Time{}))
		b := make([]byte, 3)
		_, err = io.ReadFull(c, b)
		tr.note("read: %q %v", b, err)
	}},
	{"read until a deadline", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		require.NoError(t, c.SetReadDeadline(soon()))
		for range 2 {
			n, err := c.Read(make([]byte, 4))
			tr.note("read: %d %v", n, err)
		}
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		writeAll(t, s, "data")
		b := make([]byte, 4)
		_, err := io.ReadFull(c, b)
		tr.note("read: %q %v", b, err)
	}},
	{"deadline set while a read waits", func(t *testing.T, e env, tr *transcript) {
		c, _ := e.pair(t)
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 4))
			done <- err
		}()
		time.Sleep(10 * time.Millisecond) // let it wait; the outcome is the same if it does not yet
		require.NoError(t, c.SetDeadline(past))
		tr.note("read: %v", <-done)
	}},
	{"deadline moved while a read waits", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)))
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 4))
			done <- err
		}()
		require.NoError(t, c.SetReadDeadline(time.Now().Add(2*time.Hour)))
		writeAll(t, s, "data")
		tr.note("read: %v", <-done)
	}},
	{"write until a deadline", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		data := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MiB: no buffer holds it
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
		n, err := c.Write(data)
		tr.note("partial: %t %v", n > 0 && n < len(data), err)
		m, err := c.Write([]byte("x"))
		tr.note("again: %d %v", m, err)
		require.NoError(t, c.SetWriteDeadline(time.Time{}))
		got := make(chan int64)
		go func() { n, _ := io.Copy(io.Discard, s); got <- n }()
		m, err = c.Write([]byte("tail"))
		tr.note("cleared: %d %v", m, err)
		require.NoError(t, c.Close())
		tr.note("the peer got what was written: %t", <-got == int64(n+4))
	}},
	{"write with a past deadline", func(t *testing.T, e env, tr *transcript) {
		c, _ := e.pair(t)
		require.NoError(t, c.SetWriteDeadline(past))
		n, err := c.Write([]byte("data"))
		tr.note("write: %d %v", n, err)
		n, err = c.Write(nil)
		tr.note("write nothing: %d %v", n, err)
	}},
	{"accept until a deadline", func(t *testing.T, e env, tr *transcript) {
		l, err := e.listen("tcp4", e.host+":0")
		require.NoError(t, err)
		defer l.Close()
		d := l.(interface{ SetDeadline(time.Time) error })
		tr.note("set: %v", d.SetDeadline(soon()))
		_, err = l.Accept()
		tr.note("accept: %v", err)
		tr.note("clear: %v", d.SetDeadline(time.Time{}))
		go func() {
			if c, err := e.dial(t.Context(), "tcp4", l.Addr().String()); err == nil {
				c.Close()
			}
		}()
		c, err := l.Accept()
		tr.note("accept: %v", err)
		if err == nil {
			c.Close()
		}
	}},
	{"datagram read until a deadline", func(t *testing.T, e env, tr *transcript) {
		pc, err := e.listenPacket("udp4", e.host+":0")
		require.NoError(t, err)
		defer pc.Close()
		require.NoError(t, pc.SetReadDeadline(soon()))
		n, from, err := pc.ReadFrom(make([]byte, 4))
		tr.note("read: %d %v %v", n, from == nil, err)
		require.NoError(t, pc.SetWriteDeadline(past))
		n, err = pc.WriteTo([]byte("x"), pc.LocalAddr())
		tr.note("write: %d %v", n, err)
	}},
}

func writeAll(t *testing.T, c net.Conn, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(t, err)
}

// readReady waits until c has data and takes the first byte of it.
func readReady(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
}
