package conn_test

import (
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/phy"
)

// TestIdleCopiesHoldNoBuffer: connections that are copied from take a buffer
// when there is something to copy.
func TestIdleCopiesHoldNoBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buffers atomic.Int32
		defer conn.CountCopyBuffers(func() { buffers.Add(1) })()
		l := connect(t, phy.PipeConfig{})
		var clients []*conn.TCP
		copied := make(chan int64)
		for range 20 {
			c, s := dialled(t, l.a, l.b, addrB)
			clients = append(clients, c)
			go func() {
				n, err := io.Copy(io.Discard, s)
				if err != nil {
					t.Error(err)
				}
				copied <- n
			}()
		}
		synctest.Wait()
		require.Zero(t, buffers.Load())
		for _, c := range clients {
			_, err := c.Write([]byte("four"))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			require.EqualValues(t, 4, <-copied)
		}
		require.Positive(t, buffers.Load())
	})
}

// A failing writes nothing.
type failing struct{ err error }

func (w failing) Write([]byte) (int, error) { return 0, w.err }

// TestCopyToFailingWriter: the writer's error is not taken for the reader's end.
func TestCopyToFailingWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []error{io.EOF, io.ErrClosedPipe} {
			c, s, _ := established(t)
			_, err := c.Write([]byte("x"))
			require.NoError(t, err)
			_, err = s.WriteTo(failing{want})
			requireOpError(t, err, "writeto", want)
		}
		c, s, _ := established(t)
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = s.WriteTo(failing{nil})
		requireOpError(t, err, "writeto", io.ErrShortWrite)
	})
}
