package compat

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A halfCloser is what *net.TCPConn and *conn.TCP have beyond net.Conn.
type halfCloser interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
	SetNoDelay(on bool) error
	SetKeepAlive(on bool) error
	SetKeepAlivePeriod(d time.Duration) error
	SetKeepAliveConfig(config net.KeepAliveConfig) error
	SetReadBuffer(n int) error
	SetWriteBuffer(n int) error
}

var closeBodies = []body{
	{"close while a read waits", func(t *testing.T, e env, tr *transcript) {
		c, _ := e.pair(t)
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		tr.note("close: %v", c.Close())
		tr.note("read: %v", <-done)
	}},
	{"close while a write waits", func(t *testing.T, e env, tr *transcript) {
		c, _ := e.pair(t)
		done := make(chan error)
		go func() {
			_, err := c.Write(make([]byte, 64<<20))
			done <- err
		}()
		time.Sleep(50 * time.Millisecond)
		tr.note("close: %v", c.Close())
		tr.note("write: %v", <-done)
	}},
	{"close while an accept waits", func(t *testing.T, e env, tr *transcript) {
		l, err := e.listen("tcp4", e.host+":0")
		require.NoError(t, err)
		done := make(chan error)
		go func() {
			_, err := l.Accept()
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		tr.note("close: %v", l.Close())
		tr.note("accept: %v", <-done)
		_, err = l.Accept()
		tr.note("accept again: %v", err)
		tr.note("close again: %v", l.Close())
	}},
	{"close while a datagram read waits", func(t *testing.T, e env, tr *transcript) {
		pc, err := e.listenPacket("udp4", e.host+":0")
		require.NoError(t, err)
		done := make(chan error)
		go func() {
			_, _, err := pc.ReadFrom(make([]byte, 1))
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		tr.note("close: %v", pc.Close())
		tr.note("read: %v", <-done)
		tr.note("close again: %v", pc.Close())
		_, _, err = pc.ReadFrom(make([]byte, 1))
		tr.note("read again: %v", err)
		_, err = pc.WriteTo([]byte("x"), pc.LocalAddr())
		tr.note("write: %v", err)
	}},
	{"every call after close", func(t *testing.T, e env, tr *transcript) {
		conn, _ := e.pair(t)
		c := conn.(halfCloser)
		tr.note("Close: %v", c.Close())
		tr.note("Close: %v", c.Close())
		_, err := c.Read(make([]byte, 1))
		tr.note("Read: %v", err)
		_, err = c.Write([]byte("x"))
		tr.note("Write: %v", err)
		_, err = c.(io.ReaderFrom).ReadFrom(bytes.NewReader([]byte("x")))
		tr.note("ReadFrom: %v", err)
		_, err = c.(io.WriterTo).WriteTo(io.Discard)
		tr.note("WriteTo: %v", err)
		tr.note("CloseRead: %v", c.CloseRead())
		tr.note("CloseWrite: %v", c.CloseWrite())
		tr.note("SetDeadline: %v", c.SetDeadline(time.Now()))
		tr.note("SetReadDeadline: %v", c.SetReadDeadline(time.Now()))
		tr.note("SetWriteDeadline: %v", c.SetWriteDeadline(time.Time{}))
		tr.note("SetLinger: %v", c.SetLinger(0))
		tr.note("SetNoDelay: %v", c.SetNoDelay(true))
		tr.note("SetKeepAlive: %v", c.SetKeepAlive(true))
		tr.note("SetKeepAlivePeriod: %v", c.SetKeepAlivePeriod(time.Minute))
		tr.note("SetKeepAliveConfig: %v", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}))
		tr.note("SetReadBuffer: %v", c.SetReadBuffer(1<<16))
		tr.note("SetWriteBuffer: %v", c.SetWriteBuffer(1<<16))
		tr.note("addresses: %T %T %t %t", c.LocalAddr(), c.RemoteAddr(), c.LocalAddr() != nil, c.RemoteAddr() != nil)
	}},
	{"options of an open connection", func(t *testing.T, e env, tr *transcript) {
		conn, _ := e.pair(t)
		c := conn.(halfCloser)
		tr.note("SetLinger: %v %v %v", c.SetLinger(5), c.SetLinger(0), c.SetLinger(-1))
		tr.note("SetNoDelay: %v %v", c.SetNoDelay(false), c.SetNoDelay(true))
		tr.note("SetKeepAlive: %v %v", c.SetKeepAlive(true), c.SetKeepAlive(false))
		tr.note("SetKeepAlivePeriod: %v", c.SetKeepAlivePeriod(time.Minute))
		tr.note("SetKeepAliveConfig: %v", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}))
		tr.note("SetKeepAlivePeriod: %v %v", c.SetKeepAlivePeriod(-1), c.SetKeepAlivePeriod(0))
		tr.note("SetKeepAliveConfig: %v", c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}))
		tr.note("SetReadBuffer: %v", c.SetReadBuffer(1<<16))
		tr.note("SetWriteBuffer: %v", c.SetWriteBuffer(1<<16))
	}},
	{"half-close", func(t *testing.T, e env, tr *transcript) {
		cc, sc := e.pair(t)
		c, s := cc.(halfCloser), sc.(halfCloser)
		writeAll(t, c, "request")
		tr.note("CloseWrite: %v", c.CloseWrite())
		b, err := io.ReadAll(s)
		tr.note("server read: %q %v", b, err)
		_, err = c.Write([]byte("more"))
		tr.note("write after CloseWrite: %v", err)
		_, err = c.Write(nil)
		tr.note("empty write after CloseWrite: %v", err)
		writeAll(t, s, "answer")
		require.NoError(t, s.Close())
		b, err = io.ReadAll(c)
		tr.note("client read: %q %v", b, err)
		tr.note("CloseWrite again: %v", c.CloseWrite())
		tr.note("Close: %v", c.Close())
	}},
	{"close of the reading side", func(t *testing.T, e env, tr *transcript) {
		cc, sc := e.pair(t)
		c := cc.(halfCloser)
		tr.note("CloseRead: %v", c.CloseRead())
		n, err := c.Read(make([]byte, 1))
		tr.note("read: %d %v", n, err)
		n, err = c.Write([]byte("still"))
		tr.note("write: %d %v", n, err)
		require.NoError(t, c.CloseWrite())
		b, err := io.ReadAll(sc)
		tr.note("peer: %q %v", b, err)
	}},
	{"data after the close of the reading side", func(t *testing.T, e env, tr *transcript) {
		cc, sc := e.pair(t)
		c := cc.(halfCloser)
		writeAll(t, sc, "before ")
		time.Sleep(50 * time.Millisecond)
		tr.note("CloseRead: %v", c.CloseRead())
		b, err := io.ReadAll(c)
		tr.note("read: %q %v", b, err)
		writeAll(t, sc, "later")
		time.Sleep(50 * time.Millisecond)
		b, err = io.ReadAll(c)
		tr.note("read: %q %v", b, err)
		writeAll(t, sc, "unread")
		time.Sleep(50 * time.Millisecond)
		tr.note("close: %v", c.Close())
		_, err = sc.Read(make([]byte, 1))
		tr.note("peer: %v", err)
	}},
	{"reset after the close of the reading side", func(t *testing.T, e env, tr *transcript) {
		cc, sc := e.pair(t)
		c := cc.(halfCloser)
		tr.note("CloseRead: %v", c.CloseRead())
		require.NoError(t, sc.(halfCloser).SetLinger(0))
		require.NoError(t, sc.Close())
		time.Sleep(50 * time.Millisecond)
		for range 2 {
			_, err := c.Read(make([]byte, 1))
			tr.note("read: %v", err)
		}
	}},
	{"close of the reading side while a read waits", func(t *testing.T, e env, tr *transcript) {
		cc, _ := e.pair(t)
		done := make(chan error)
		go func() {
			_, err := cc.Read(make([]byte, 1))
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		tr.note("CloseRead: %v", cc.(halfCloser).CloseRead())
		tr.note("read: %v", <-done)
	}},
	{"close delivers what was written", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		data := bytes.Repeat([]byte("0123456789"), 100_000)
		go func() {
			_, _ = c.Write(data)
			c.Close()
		}()
		b, err := io.ReadAll(s)
		tr.note("all: %t %v", bytes.Equal(b, data), err)
	}},
	{"lingering close", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		require.NoError(t, c.(halfCloser).SetLinger(5))
		writeAll(t, c, "data")
		tr.note("close: %v", c.Close())
		b, err := io.ReadAll(s)
		tr.note("peer: %q %v", b, err)
	}},
	{"lingering close with nothing left to send", func(t *testing.T, e env, tr *transcript) {
		for _, data := range []string{"", "data"} {
			c, s := e.pair(t)
			require.NoError(t, c.(halfCloser).SetLinger(20))
			writeAll(t, c, data)
			_, err := io.ReadFull(s, make([]byte, len(data)))
			require.NoError(t, err)
			time.Sleep(100 * time.Millisecond) // acknowledged by now
			start := time.Now()
			tr.note("close: %v in time: %t", c.Close(), time.Since(start) < 10*time.Second)
			b, err := io.ReadAll(s)
			tr.note("peer: %q %v", b, err)
		}
	}},
	{"close with a connection that nobody accepted", func(t *testing.T, e env, tr *transcript) {
		l, err := e.listen("tcp4", e.host+":0")
		require.NoError(t, err)
		c, err := e.dial(context.Background(), "tcp4", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, l.Close())
		_, err = c.Read(make([]byte, 1))
		tr.note("read: %v", err)
	}},
}
