package compat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var errForeign = errors.New("foreign failure")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errForeign }

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errForeign }

var copyBodies = []body{
	{"io.Copy into a connection", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		n, err := io.Copy(c, io.LimitReader(zeros{}, 300_000))
		tr.note("%d %v", n, err)
		require.NoError(t, c.Close())
		m, err := io.Copy(io.Discard, s)
		tr.note("%d %v", m, err)
	}},
	{"failures of the other side of a copy", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		n, err := c.(io.ReaderFrom).ReadFrom(failingReader{})
		tr.note("ReadFrom: %d %s %t", n, fmt.Sprintf("%T", err), errors.Is(err, errForeign))
		writeAll(t, s, "data")
		n, err = c.(io.WriterTo).WriteTo(failingWriter{})
		tr.note("WriteTo: %d %s %t", n, fmt.Sprintf("%T", err), errors.Is(err, errForeign))
	}},
	{"copy until a deadline", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		writeAll(t, s, "data")
		require.NoError(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		var b bytes.Buffer
		n, err := io.Copy(&b, c)
		tr.note("%d %q %v", n, b.String(), err)
	}},
	{"gathered write", func(t *testing.T, e env, tr *transcript) {
		c, s := e.pair(t)
		bufs := net.Buffers{[]byte("one "), []byte("two "), nil, []byte("three")}
		n, err := bufs.WriteTo(c)
		tr.note("%d %v", n, err)
		require.NoError(t, c.Close())
		b, err := io.ReadAll(s)
		tr.note("%q %v", b, err)
	}},
	{"copy between two connections", func(t *testing.T, e env, tr *transcript) {
		a, b := e.pair(t)
		c, d := e.pair(t)
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(c, b)
			c.Close()
			done <- err
		}()
		writeAll(t, a, "relayed")
		require.NoError(t, a.Close())
		got, err := io.ReadAll(d)
		tr.note("%q %v", got, err)
		tr.note("%v", <-done)
	}},
	{"close while copying from a connection", func(t *testing.T, e env, tr *transcript) {
		c, _ := e.pair(t)
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, c)
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		require.NoError(t, c.Close())
		tr.note("%v", <-done)
	}},
	{"cancel while dialling", func(t *testing.T, e env, tr *transcript) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
		defer cancel()
		<-ctx.Done()
		_, err := e.dial(ctx, "udp", e.host+":9")
		tr.note("%v", err)
	}},
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
